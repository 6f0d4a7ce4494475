// A question that has to be answered first. Resolves to true or false; with a field {label, value}, to its text or null.
mtl.ask = ({ title, text = "", yes, danger = false, field = null }) => new Promise((done) => {
  const { make } = mtl;
  const input = make("input", { type: "text", value: field?.value || "", required: true, autofocus: true, spellcheck: "false" });
  const no = make("button", { type: "button", class: "button", autofocus: !field }, "Cancel");
  const go = make("button", { class: `button ${danger ? "danger" : "primary"}`, value: "yes" }, yes);
  const asked = [...(text ? [make("p", {}, text)] : []), ...(field ? [make("label", {}, field.label, input)] : [])];
  const form = make("form", { method: "dialog" }, make("h2", { id: "ask-title" }, title), ...asked,
    make("div", { class: "actions" }, go, no));
  const dialog = make("dialog", { class: "ask", "aria-labelledby": "ask-title" }, form);
  no.addEventListener("click", () => dialog.close(""));
  dialog.addEventListener("close", () => {
    const agreed = dialog.returnValue === "yes";
    dialog.remove();
    done(field ? (agreed ? input.value.trim() : null) : agreed);
  });
  document.querySelector(".gradio-container").append(dialog);
  dialog.showModal();
  if (field) input.select();
});
