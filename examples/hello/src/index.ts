// The smallest Worker with a binding, for the tour in the README.
export default {
  fetch(request: Request, env: { GREETING: string; NAME?: string }): Response {
    console.log("greeting", new URL(request.url).pathname);
    return new Response(`${env.GREETING} ${env.NAME ?? "world"}\n`);
  },
};
