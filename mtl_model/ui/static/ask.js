// A question that has to be answered first. Resolves to true or false; with a field {label, value}, to its text or null.
mtl.ask = ({ title, text = "", yes, danger = false, field = null }) => new Promise((done) => {
  const make = (kind, more = {}) => Object.assign(document.createElement(kind), more);
  const dialog = make("dialog", { className: "ask" }), form = make("form", { method: "dialog" });
  const heading = make("h2", { textContent: title, id: "ask-title" });
  const input = make("input", { type: "text", value: field?.value || "", required: true, autofocus: true, spellcheck: false });
  const no = make("button", { type: "button", className: "button", textContent: "Cancel", autofocus: !field });
  const go = make("button", { className: `button ${danger ? "danger" : "primary"}`, textContent: yes, value: "yes" });
  const actions = make("div", { className: "actions" }), label = make("label", { textContent: field?.label || "" });
  dialog.setAttribute("aria-labelledby", "ask-title");
  label.append(input);
  actions.append(go, no);
  form.append(heading, ...(text ? [make("p", { textContent: text })] : []), ...(field ? [label] : []), actions);
  dialog.append(form);
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
