"""Token vectors <-> codes and residuals."""
