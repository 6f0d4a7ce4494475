// A question that has to be answered first. Resolves to true or false; with a field {label, value}, to its text or null;
// with a box, the text beside it, to whether that is ticked or null.
mtl.ask = ({ title, text = "", yes, danger = false, field = null, box = "" }) => new Promise((done) => {
  const { make } = mtl;
  const input = make("input", { type: "text", value: field?.value || "", required: true, autofocus: true, spellcheck: "false" });
  const no = make("button", { type: "button", class: "button", autofocus: !field }, "Cancel");
  const go = make("button", { class: `button ${danger ? "danger" : "primary"}`, value: "yes" }, yes);
  const tick = make("input", { type: "checkbox" });
  const asked = [...(text ? [make("p", {}, text)] : []), ...(field ? [make("label", {}, field.label, input)] : []),
    ...(box ? [make("label", { class: "tick" }, tick, make("span", {}, box))] : [])];
  const form = make("form", { method: "dialog" }, make("h2", { id: "ask-title" }, title), ...asked,
    make("div", { class: "actions" }, go, no));
  const dialog = make("dialog", { class: "ask", "aria-labelledby": "ask-title" }, form);
  no.addEventListener("click", () => dialog.close(""));
  dialog.addEventListener("close", () => {
    const agreed = dialog.returnValue === "yes";
    dialog.remove();
    if (!field && !box) return done(agreed);
    done(agreed ? (box ? tick.checked : input.value.trim()) : null);
  });
  document.querySelector(".gradio-container").append(dialog);
  dialog.showModal();
  if (field) input.select();
});
