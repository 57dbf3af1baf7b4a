// Resumes trainings; renames and deletes runs.

const deletion = document.querySelector("#deletion");

for (const button of document.querySelectorAll("button.resume")) {
  button.addEventListener("click", async () => {
    const problem = button.parentElement.querySelector("[role=alert]");
    problem.hidden = true;
    try {
      const response = await fetch(`/api/v1${button.dataset.page}/resume`, { method: "POST" });
      if (response.ok) return location.assign(button.dataset.page);
      problem.textContent = await response.text();
    } catch {
      problem.textContent = "no answer: does roentgen serve still run?";
    }
    problem.hidden = false;
  });
}

/** Asks the server, and shows the list as it is then, or why not. */
async function ask(form, method, body) {
  const problem = form.querySelector("[role=alert]");
  problem.hidden = true;
  try {
    const headers = body ? { "Content-Type": "application/json" } : {};
    const response = await fetch(form.dataset.api, { method, headers, body: body && JSON.stringify(body) });
    if (response.ok) return location.reload();
    problem.textContent = await response.text();
  } catch {
    problem.textContent = "no answer: does roentgen serve still run?";
  }
  problem.hidden = false;
}

for (const form of document.querySelectorAll("form.change")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(form, "PATCH", { name: form.elements.name.value });
  });
  form.querySelector(".delete").addEventListener("click", () => {
    document.querySelector("#question").textContent = `Delete ${form.dataset.run}?`;
    // Escape leaves the value of the last time.
    deletion.returnValue = "keep";
    deletion.onclose = () => deletion.returnValue === "delete" && ask(form, "DELETE");
    deletion.showModal();
  });
}
