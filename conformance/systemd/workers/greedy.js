let kept = [];

export default {
  fetch(request) {
    if (new URL(request.url).pathname === "/grow") for (;;) kept.push(new Uint8Array(1 << 20).fill(1));
    return new Response("content");
  },
};
