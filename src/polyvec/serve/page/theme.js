// Sets the chosen colors before the first paint; without a choice, the system's apply.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("polyvec-theme");
  } catch {
    // storage may be forbidden: then the system decides
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
