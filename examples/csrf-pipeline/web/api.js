// The gateway's API. A token is good for one request; each answer brings the next.
let token;

async function first() {
  const response = await fetch("/api/session");
  return (await response.json()).token;
}

// One session for the whole page, whoever asks first.
let asked;
export const session = () => (asked ??= first().then((t) => (token = t)));

export async function start(title, parts) {
  await session();
  for (let again = true; ; again = false) {
    const response = await fetch("/api/reports", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": token },
      body: JSON.stringify({ title, parts }),
    });
    const answer = await response.json();
    token = response.headers.get("X-CSRF-Token") ?? token;
    if (response.ok) return answer.id;
    if (answer.code !== "bad_token" || !again) throw new Error(answer.error);
    token = await first(); // the page was open for longer than its token was good
  }
}
