// The Webcam tab: the camera, the socket and the states between them. Runs in the page with element and props.
//
// States: off -> starting -> live -> (freezing -> frozen) -> off. Whatever ends one goes through leave(), which
// always turns the camera off. A visit number (`visit`) makes late promises of an earlier start harmless.

const FRAME_PX = 640; // longer side of a frame as it is sent
const KEPT_PX = 1920; // longer side of the picture that Freeze keeps
const ANSWER_WITHIN_MS = 20000;
const PACE_OVER_MS = 2000, PACE_EVERY_MS = 500; // what the rate is measured over, and how often it is written
const WANTED = { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } };

const SAY = {
  welcome: "Start the camera to see what is estimated. Its pictures stay between this page and the program that "
    + "serves it, and none is kept.",
  waiting: "Waiting for the camera. Allow it if the browser asks.",
  loading: "The camera is on. Getting the first estimates.",
  left: "The camera is off, because you left this page. Start it again when you like.",
  stopped: "The camera is off.",
  dark: "The camera gives no picture. Choose another, or start again.",
  unplugged: "The camera was disconnected. Connect it or choose another, then start again.",
  lost: "The connection to the program was lost. See that it still runs, then start again.",
  silent: "The program has not answered for 20 seconds. See that it still runs, then start again.",
};
const part = (name) => element.querySelector(`[data-part="${name}"]`);
const root = element.querySelector(".webcam");
const video = part("video"), still = part("still"), picture = part("picture");
const power = part("power"), freeze = part("freeze"), handOver = part("hand-over");
const cameras = part("cameras"), mirror = part("mirror"), message = part("message"), pace = part("pace");

let state = "off", visit = 0, stream = null, socket = null;
let ready = false; // the server has confirmed the settings
let askedAt = 0, sentAt = 0; // when settings and a frame went out that are not answered yet, else 0
let frozenFrame = false, chosenMirror = null, titles = {}, answers = [], pacedAt = 0, last = null;
let taken = document.createElement("canvas"), shown = document.createElement("canvas"); // in flight, and answered
const small = document.createElement("canvas");

const colourOf = (index) => props.face_colours[index % props.face_colours.length];
const titleOf = (name) => titles[name] ?? name;
const overlay = makeOverlay(part("overlay"), titleOf, colourOf);
const cards = makeCards(part("cards"), titleOf, colourOf);
const announcer = makeAnnouncer(mtl.announce);

function say(sentence) {
  if (message.textContent !== sentence) message.textContent = sentence;
}

function enter(next) {
  state = next;
  root.dataset.state = next;
  const running = next === "starting" || next === "live" || next === "freezing";
  power.textContent = running ? "Stop camera" : "Start camera";
  power.classList.toggle("primary", !running);
  // Not the attribute `disabled`: it would take the focus from who works with the keyboard.
  freeze.setAttribute("aria-disabled", String(next !== "live" && next !== "frozen"));
  freeze.setAttribute("aria-pressed", String(next === "frozen"));
  handOver.hidden = next !== "frozen";
}

// Turns everything off. The sentence says why; no sentence leaves the one that is there.
function leave(next, sentence) {
  visit += 1;
  mtl.camera.close(stream);
  const closing = socket;
  stream = socket = null;
  closing?.close();
  video.srcObject = null;
  ready = frozenFrame = false;
  askedAt = sentAt = 0;
  answers = [];
  pace.textContent = "";
  if (next === "off") { overlay.clear(); cards.clear(); last = null; }
  announcer.clear();
  enter(next);
  if (sentence !== undefined) say(sentence);
}

async function start() {
  leave("off");
  const mine = visit;
  enter("starting");
  say(SAY.waiting);
  try {
    const given = await mtl.camera.open(cameras.value, WANTED);
    if (mine !== visit) return mtl.camera.close(given);
    stream = given;
    video.srcObject = given;
    await video.play();
    await mtl.camera.fill(cameras, stream);
  } catch (fault) {
    if (mine === visit) leave("off", stream ? SAY.dark : fault.message);
    return;
  }
  if (mine !== visit) return;
  const track = stream.getVideoTracks()[0];
  track.addEventListener("ended", () => { if (mine === visit) leave("off", SAY.unplugged); });
  mirrorFor(track);
  enter("live");
  say(SAY.loading);
  connect(mine);
  onNextFrame(mine);
}

// A camera that looks away from the person shows the world, and a mirrored world has unreadable writing.
function mirrorFor(track) {
  const away = track.getSettings().facingMode === "environment";
  mirror.checked = chosenMirror ?? !away;
  showMirror();
}

function connect(mine) {
  const address = new URL(mtl.address(props.path), window.location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(address);
  askedAt = performance.now();
  socket.addEventListener("open", () => { if (mine === visit) sendSettings(); });
  socket.addEventListener("close", () => { if (mine === visit) leave("off", SAY.lost); });
  socket.addEventListener("message", (event) => {
    if (mine !== visit) return;
    const answer = JSON.parse(event.data);
    if ("settings" in answer) onSettings(answer); else onAnswer(answer);
  });
}

function sendSettings() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  ready = false;
  askedAt = performance.now();
  socket.send(JSON.stringify({ checkpoint: mtl.trial || mtl.checkpoint }));
}

function onSettings(answer) {
  if (answer.error) {
    mtl.trial = "";
    showTrial();
    mtl.refreshModels(); // the checkpoint may be gone
    return leave("off", answer.error);
  }
  titles = Object.fromEntries(answer.tasks.map((task) => [task.name, task.title]));
  ready = true;
  askedAt = 0;
}

// One frame in flight: the next leaves when this one is answered, so a slow model never builds a queue.
function push(mine) {
  const wide = video.videoWidth, high = video.videoHeight;
  if (!ready || sentAt || !wide || socket?.readyState !== WebSocket.OPEN) return;
  sentAt = performance.now();
  frozenFrame = state === "freezing";
  const draw = (canvas, source, longest) => {
    const scale = Math.min(1, longest / Math.max(wide, high));
    canvas.width = Math.round(wide * scale);
    canvas.height = Math.round(high * scale);
    canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  };
  draw(taken, video, KEPT_PX);
  draw(small, taken, FRAME_PX);
  small.toBlob((frame) => {
    if (mine !== visit) return;
    if (frame && socket.readyState === WebSocket.OPEN) socket.send(frame); else sentAt = 0;
  }, "image/jpeg", 0.85);
}

function onNextFrame(mine) {
  if (mine !== visit) return;
  const since = sentAt || askedAt;
  if (since && performance.now() - since > ANSWER_WITHIN_MS) return leave("off", SAY.silent);
  push(mine);
  const again = () => onNextFrame(mine);
  if (video.requestVideoFrameCallback && !video.paused) video.requestVideoFrameCallback(again);
  else setTimeout(again, 33);
}

function onAnswer(answer) {
  const now = performance.now(), delay = now - sentAt;
  sentAt = 0;
  if (answer.error) {
    if (frozenFrame) return leave("off", answer.error);
    overlay.clear();
    mtl.refreshModels();
    return say(answer.error);
  }
  say("");
  [taken, shown] = [shown, taken];
  last = answer;
  overlay.draw(answer, mirror.checked);
  if (frozenFrame) return finishFreeze();
  cards.draw(answer, shown, mirror.checked, now);
  announcer.tell(answer.faces.length, now);
  showPace(now, delay);
}

function showPace(now, delay) {
  const recent = answers.filter((one, index) => index === answers.length - 1 || now - one.at < PACE_OVER_MS);
  answers = [...recent, { at: now, delay }];
  if (answers.length < 2 || now - pacedAt < PACE_EVERY_MS) return;
  pacedAt = now;
  const rate = (answers.length - 1) * 1000 / (now - answers[0].at);
  const mean = answers.reduce((sum, one) => sum + one.delay, 0) / answers.length;
  pace.textContent = `${rate < 9.95 ? rate.toFixed(1) : Math.round(rate)} frames a second · ${mtl.seconds(mean)} delay`;
}

// The video stands still at once; its boxes come with the answer to the very frame it stands on.
function beginFreeze() {
  if (state !== "live") return;
  enter("freezing");
  video.pause();
  onNextFrame(visit); // a video that stands still calls nobody back
}

function finishFreeze() {
  still.width = shown.width;
  still.height = shown.height;
  still.getContext("2d").drawImage(shown, 0, 0);
  cards.due();
  cards.draw(last, shown, mirror.checked, performance.now());
  leave("frozen", "");
  mtl.announce("The picture is frozen and the camera is off.");
}

function openInPhoto() {
  still.toBlob((frame) => {
    if (frame) mtl.choosePhotos([new File([frame], "webcam.jpg", { type: "image/jpeg" })]);
  }, "image/jpeg", 0.95);
}

function showMirror() {
  picture.classList.toggle("mirrored", mirror.checked);
  if (last) overlay.draw(last, mirror.checked);
  for (const crop of part("cards").querySelectorAll("canvas")) crop.classList.toggle("mirrored", mirror.checked);
}

power.addEventListener("click", () => {
  if (state === "off" || state === "frozen") start(); else leave("off", SAY.stopped);
});
freeze.addEventListener("click", () => { if (state === "frozen") start(); else beginFreeze(); });
handOver.addEventListener("click", openInPhoto);
mirror.addEventListener("change", () => { chosenMirror = mirror.checked; showMirror(); });
cameras.addEventListener("change", () => { chosenMirror = null; if (state !== "off") start(); });
video.addEventListener("resize", () => {
  if (video.videoWidth) picture.style.setProperty("--ratio", `${video.videoWidth} / ${video.videoHeight}`);
});
navigator.mediaDevices?.addEventListener?.("devicechange", () => { if (stream) mtl.camera.fill(cameras, stream); });
new ResizeObserver(() => { if (last) overlay.draw(last, mirror.checked); }).observe(picture);
function showTrial() {
  part("trial").hidden = !mtl.trial;
  part("trial").querySelector("span").textContent = `This is ${mtl.trial}, which is not kept yet.`;
}
document.addEventListener("mtl:checkpoint", () => { showTrial(); sendSettings(); });
function beginTrial() {
  showTrial();
  if (state === "off" || state === "frozen") start(); else sendSettings();
}
document.addEventListener("mtl:trial", beginTrial);
part("trial").querySelector("button").addEventListener("click", () => mtl.openTab("teach"));

// Leaving the tab, the page or the window's view turns the camera off. A tab that is left keeps its elements, so only
// their lost place on the screen tells; scrolling away has a place still, and keeps the camera.
function leftPage() {
  if (state !== "off" && state !== "frozen") leave("off", SAY.left);
}
new IntersectionObserver((entries) => {
  if (!entries.at(-1).isIntersecting && !mtl.isOpen(element)) leftPage();
}).observe(element);
document.addEventListener("visibilitychange", () => { if (document.hidden) leftPage(); });
window.addEventListener("pagehide", leftPage);

enter("off");
say(SAY.welcome);
if (!navigator.mediaDevices?.getUserMedia) {
  power.disabled = true;
  mtl.camera.open().catch((fault) => say(fault.message)); // it says why before it asks for anything
} else if (mtl.trial) beginTrial(); // this tab is made when it is opened for the first time
