// The tabs for keys and for addresses. Arrows, Home and End move between them. Each tab has its address, and what is open in it
// may add to that (#photo, #teach/NAME), so that a reload, back, forward and a copied address show the same.
// mtl.opened(tab) is what the address names inside a tab; mtl.opens(tab, name) tells what is open there now, `step` whether a
// person chose it, who can then go back. Back and forward are the event "mtl:address" with { tab, name } as its detail.
(() => {
  const open = {}; // tab -> what is open in it
  const all = () => [...document.querySelectorAll("#tabs [role=tab]")].filter((tab) => tab.getClientRects().length);
  const keyOf = (tab) => tab.dataset.tabId;
  const chosen = () => all().find((tab) => tab.getAttribute("aria-selected") === "true");
  let shown = ""; // the tab that is open

  function address() {
    const [tab, ...rest] = location.hash.slice(1).split("/");
    try { return { tab: tab.toLowerCase(), name: decodeURIComponent(rest.join("/")) }; } catch { return { tab, name: "" }; }
  }

  function write(tab, how) {
    const hash = `#${tab}${open[tab] ? `/${encodeURIComponent(open[tab])}` : ""}`;
    if (hash !== location.hash) history[how](null, "", location.pathname + location.search + hash);
  }

  mtl.opened = (tab) => (address().tab === tab ? address().name : open[tab] || "");
  mtl.opens = (tab, name, step = false) => {
    open[tab] = name;
    if (tab === shown) write(tab, step ? "pushState" : "replaceState");
  };

  function follow() { // a tab was chosen, by whatever
    for (const tab of all()) tab.tabIndex = tab.getAttribute("aria-selected") === "true" ? 0 : -1;
    const tab = chosen();
    if (!tab || keyOf(tab) === shown) return;
    const first = !shown;
    shown = keyOf(tab);
    if (!first && address().tab !== shown) write(shown, "pushState");
  }

  function go() { // the address says what to show
    const { tab, name } = address(), tabs = all();
    const wanted = tabs.find((one) => keyOf(one) === tab) || tabs[0];
    if (wanted && keyOf(wanted) !== shown) {
      shown = keyOf(wanted); // it is no new step
      wanted.click();
    }
    document.dispatchEvent(new CustomEvent("mtl:address", { detail: { tab, name } }));
  }

  addEventListener("popstate", go);
  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest?.("#tabs [role=tab]"), tabs = all();
    const index = tabs.indexOf(tab), last = tabs.length - 1;
    const next = { ArrowRight: index === last ? 0 : index + 1, ArrowLeft: index ? index - 1 : last, Home: 0, End: last }[event.key];
    if (index < 0 || next === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    tabs[next].focus();
    tabs[next].click();
  });
  const waiting = new MutationObserver(() => { // Gradio makes the tabs some time after the page is there
    if (!all().length) return;
    waiting.disconnect();
    follow();
    go();
    new MutationObserver(follow).observe(document.querySelector("#tabs"), { subtree: true, attributeFilter: ["aria-selected"] });
  });
  waiting.observe(document.documentElement, { childList: true, subtree: true });
})();
