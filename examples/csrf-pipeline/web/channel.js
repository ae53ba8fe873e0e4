// Keeps a WebSocket open. The server closes it with 1012 when a new version is
// deployed; that one is there already, so we connect again at once. After any
// other end we wait, longer each time.
import { session } from "./api";

const serviceRestart = 1012;

export function listen({ state, event }) {
  let socket, timer, stopped, failures = 0, restarts = 0;
  const connect = async () => {
    await session(); // the handshake needs the cookie
    if (stopped) return;
    socket = new WebSocket(`${location.origin.replace("http", "ws")}/api/channel`);
    socket.onopen = () => {
      failures = 0;
      state(restarts ? `live, after ${restarts} restarts` : "live");
    };
    socket.onmessage = ({ data }) => data === "pong" || event(JSON.parse(data));
    socket.onclose = ({ code }) => {
      if (stopped) return;
      if (code === serviceRestart) restarts++;
      state("reconnecting");
      timer = setTimeout(connect, code === serviceRestart ? 0 : Math.min(100 * 2 ** failures++, 10_000) * (1 + Math.random()));
    };
  };
  connect();
  const ping = setInterval(() => socket?.readyState === WebSocket.OPEN && socket.send("ping"), 30_000);
  return () => {
    stopped = true;
    clearTimeout(timer);
    clearInterval(ping);
    socket?.close();
  };
}
