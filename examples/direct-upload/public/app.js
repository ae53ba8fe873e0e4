const form = document.querySelector("form");
const state = document.querySelector("#state");
const files = document.querySelector("#files");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  upload(form.querySelector("input").files[0]).catch((error) => (state.textContent = error.message));
});
form.querySelector("button").disabled = false;

// The Worker says where the file may go. The bytes go there, and past the Worker.
async function upload(file) {
  state.textContent = "asking";
  const asked = await fetch("/api/uploads", {
    method: "POST",
    body: JSON.stringify({ name: file.name, type: file.type || "application/octet-stream", size: file.size }),
  });
  const answer = await asked.json();
  if (!asked.ok) throw new Error(answer.error);
  state.textContent = "uploading";
  const put = await fetch(answer.url, { method: "PUT", headers: answer.headers, body: file });
  if (!put.ok) throw new Error(`the upload was refused: ${put.status}`);
  state.textContent = `uploaded ${put.headers.get("ETag")}`;
}

// The list has a file when the queue's consumer has written it there.
async function list() {
  const rows = await (await fetch("/api/files")).json();
  files.replaceChildren(
    ...rows.map((file) => {
      const row = document.createElement("tr");
      for (const text of [file.name, file.type, `${file.size} bytes`]) row.insertCell().textContent = text;
      return row;
    }),
  );
}

await list();
setInterval(list, 1000);
