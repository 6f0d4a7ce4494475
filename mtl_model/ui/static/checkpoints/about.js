// The About tab: the chosen checkpoint's card, fetched as HTML from the server.
mtl.about = async (host) => {
  let run = 0, told = ""; // what was deleted last, until the tab is opened again
  async function show() {
    const mine = ++run;
    const answer = await mtl.call("/mtl/about", { checkpoint: mtl.checkpoint });
    if (mine !== run) return; // another checkpoint was chosen meanwhile
    const part = host.querySelector(".about");
    if (answer.error) {
      part.textContent = answer.error;
      mtl.refreshModels();
    } else part.innerHTML = answer.html;
    const line = host.querySelector(".done");
    if (line) line.textContent = told;
  }
  const QUESTIONS = {
    "delete-everything": { path: "/mtl/everything/delete", title: "Delete everything?", yes: "Delete everything",
      text: "Pictures given to Teach, also those that were kept, corrections, what is being learned, and every checkpoint made "
        + "here. It cannot be brought back. Checkpoints that came with the program stay.",
      done: ({ left }) => `Everything is deleted.${left ? ` ${left} ${left > 1 ? "folders of other programs were" : "folder of another program was"} left.` : ""}` },
    "delete-pictures": { path: "/mtl/pictures/delete", title: "Delete these pictures?", yes: "Delete them",
      text: "They cannot be brought back. The checkpoint that was taught with them stays.",
      done: () => "The pictures are deleted." },
  };
  host.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-do]"), asked = QUESTIONS[button?.dataset.do];
    if (!asked || !(await mtl.ask({ ...asked, danger: true }))) return;
    const { name = "" } = button.dataset, answer = await mtl.call(asked.path, { name }, { method: "POST" });
    const alert = host.querySelector("[role=alert]");
    alert.hidden = !answer.error;
    alert.textContent = answer.error || "";
    if (answer.error) return;
    told = asked.done(answer);
    mtl.announce(told);
    await show();
    document.dispatchEvent(new CustomEvent("mtl:models"));
  });
  document.addEventListener("mtl:checkpoint", show);
  document.addEventListener("click", (event) => { // after a silence, or what another window did
    if (event.target.closest("[role=tab]")?.dataset.tabId === "about") {
      told = "";
      show();
    }
  });
  await show();
};
