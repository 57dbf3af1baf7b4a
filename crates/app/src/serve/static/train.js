// Starts a training with what the form has, and goes to its page.

const form = document.querySelector("#start");
const problem = document.querySelector("#problem");
const button = form.querySelector("button");

function refuse(reason) {
  problem.textContent = reason;
  problem.hidden = false;
  button.disabled = false;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  problem.hidden = true;
  try {
    const response = await fetch("/api/v1/training", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(Object.fromEntries(new FormData(form))),
    });
    if (response.ok) location.assign((await response.json()).page);
    else refuse(await response.text());
  } catch {
    refuse("no answer: does roentgen serve still run?");
  }
});
// The page as the browser kept it, after going back to it.
addEventListener("pageshow", () => {
  button.disabled = false;
});
