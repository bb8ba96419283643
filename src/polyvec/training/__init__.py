"""Text in many languages -> a trained late-interaction model: vocabulary, backbone, pairs and distillation."""
