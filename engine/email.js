// What "cloudflare:email" re-exports. A message is a plain object, not an
// instance, because it travels to other processes by RPC.
class EmailMessage {
  constructor(from, to, raw) {
    return { from, to, "EmailMessage::raw": raw };
  }
}

export default { EmailMessage };
