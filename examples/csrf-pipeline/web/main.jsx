import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { start } from "./api";
import { listen } from "./channel";

function App() {
  const [connection, setConnection] = useState("connecting");
  const [reports, setReports] = useState({}); // ours, by id, as server-sent events tell
  const [heard, setHeard] = useState([]); // everybody's, as the channel tells
  const [error, setError] = useState("");

  useEffect(() => listen({ state: setConnection, event: (e) => setHeard((list) => [e, ...list].slice(0, 20)) }), []);

  const submit = async (e) => {
    e.preventDefault();
    const form = new FormData(e.target);
    try {
      const id = await start(form.get("title"), 3);
      setError("");
      const events = new EventSource(`/api/reports/${id}/events`);
      events.onmessage = ({ data }) => {
        const report = JSON.parse(data);
        setReports((all) => ({ ...all, [id]: report }));
        if (report.status === "complete" || report.status === "errored") events.close();
      };
    } catch (e) {
      setError(e.message);
    }
  };

  return (
    <>
      <span id="connection">{connection}</span>
      <h1>Reports</h1>
      <form onSubmit={submit}>
        <input name="title" defaultValue="Sales of the week" required maxLength="100" />
        <button>Start</button>
      </form>
      <p id="error">{error}</p>
      <h2>Yours</h2>
      <ul id="reports">
        {Object.values(reports).map(({ id, title, status, done, parts }) => (
          <li key={id}>{`${title}: ${done} of ${parts}, ${status}`}</li>
        ))}
      </ul>
      <h2>Everybody's</h2>
      <ul id="heard">
        {heard.map(({ id, title, done, parts }) => (
          <li key={`${id} ${done}`}>{`${title}: ${done} of ${parts}`}</li>
        ))}
      </ul>
    </>
  );
}

createRoot(document.getElementById("root")).render(<App />);
