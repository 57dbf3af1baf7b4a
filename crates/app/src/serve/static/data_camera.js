// The camera: small square pictures, several in a second while a button is held.

const SIDE = 128;
const EACH_MS = 200;

let stream = null;
export const isOn = () => stream !== null;

/** Shows the camera in `video`; the sentence that says why not, if it cannot. */
export async function start(video) {
  if (!navigator.mediaDevices) return "This browser gives no camera to this page.";
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 }, audio: false });
  } catch (error) {
    return error.name === "NotAllowedError"
      ? "The camera was not allowed; allow it in the browser, beside the address."
      : "There is no camera that can be used.";
  }
  video.srcObject = stream;
  await video.play();
  return null;
}

export function stop(video) {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  video.srcObject = null;
}

/** The middle of the picture, as a file. */
function picture(video) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const side = Math.min(video.videoWidth, video.videoHeight);
  if (side === 0) return Promise.resolve(null);
  const [x, y] = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2];
  canvas.getContext("2d").drawImage(video, x, y, side, side, 0, 0, SIDE, SIDE);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** Gives pictures to `take` while `shutter` is held, by pointer or by keyboard. */
export function onHold(shutter, video, take) {
  let timer = null;
  const one = async () => {
    const taken = await picture(video);
    if (taken) take(taken);
  };
  const begin = () => {
    if (timer !== null || !isOn()) return;
    timer = setInterval(one, EACH_MS);
    one();
  };
  const end = () => {
    clearInterval(timer);
    timer = null;
  };
  shutter.addEventListener("pointerdown", begin);
  for (const name of ["pointerup", "pointerleave", "pointercancel", "blur"]) shutter.addEventListener(name, end);
  shutter.addEventListener("contextmenu", (event) => event.preventDefault());
  shutter.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    begin();
  });
  shutter.addEventListener("keyup", end);
}
