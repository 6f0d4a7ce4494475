// The About tab: the chosen checkpoint's card, fetched as HTML from the server.
mtl.about = async (host) => {
  let run = 0;
  async function show() {
    const mine = ++run;
    try {
      const reply = await fetch(mtl.address("/mtl/about", { checkpoint: mtl.checkpoint }));
      const answer = await reply.json();
      if (mine !== run) return; // another checkpoint was chosen meanwhile
      const part = host.querySelector(".about");
      if (answer.error) part.textContent = answer.error;
      else part.innerHTML = answer.html;
    } catch {
      if (mine === run) host.querySelector(".about").textContent = "The server did not answer. Check that it is still running.";
    }
  }
  document.addEventListener("mtl:checkpoint", show);
  await show();
};
