const RAW = "EmailMessage::raw"; // as cloudflare:email has it

class SendEmail {
  #service;
  constructor(service) {
    this.#service = service;
  }

  async send(message) {
    if (typeof message !== "object" || message === null) {
      throw failure({ code: "E_VALIDATION_ERROR", message: "send() takes an EmailMessage or an object of its parts" });
    }
    const response = RAW in message ? await this.#raw(message) : await this.#parts(message);
    const text = await response.text();
    let answer;
    try {
      answer = JSON.parse(text);
    } catch {
      throw failure({ code: "E_INTERNAL_SERVER_ERROR", message: "the e-mail was not sent: " + text });
    }
    if (!response.ok) throw failure(answer);
    return answer;
  }

  #raw({ from, to, [RAW]: body }) {
    return this.#service.fetch("http://email/raw?" + new URLSearchParams({ from, to }), { method: "POST", body });
  }

  #parts({ attachments, headers, ...rest }) {
    const body = JSON.stringify({
      ...rest,
      headers: typeof headers?.entries === "function" ? Object.fromEntries(headers) : headers,
      attachments: attachments?.map(({ content, ...file }) => ({ ...file, content: base64(content) })),
    });
    return this.#service.fetch("http://email/parts", { method: "POST", body });
  }
}

// base64 of an attachment's content, of which a string is that already.
function base64(content) {
  if (typeof content === "string") return content;
  const bytes = ArrayBuffer.isView(content) ? new Uint8Array(content.buffer, content.byteOffset, content.byteLength) : new Uint8Array(content);
  const chunks = [];
  for (let at = 0; at < bytes.length; at += 0x6000) {
    chunks.push(btoa(String.fromCharCode(...bytes.subarray(at, at + 0x6000)))); // a multiple of 3
  }
  return chunks.join("");
}

function failure({ code, message }) {
  return Object.assign(new Error(message), { code });
}

export default ({ service }) => new SendEmail(service);
