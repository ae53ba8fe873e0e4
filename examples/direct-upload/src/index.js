import { AwsClient } from "aws4fetch";

// Where uploads go in the bucket; what else is there is nobody's to overwrite.
const prefix = "uploads/";
const largest = 100 << 20;

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    switch (`${request.method} ${pathname}`) {
      case "POST /api/uploads":
        return allow(request, env);
      case "GET /api/files": {
        const { results } = await env.DB.prepare("SELECT name, type, size FROM files ORDER BY uploaded DESC, key LIMIT 100").all();
        return Response.json(results);
      }
    }
    return refuse(404, "there is nothing here");
  },

  // R2 has told the queue of uploads. It may tell of one twice, and a file may be
  // gone by now; both come to nothing.
  async queue(batch, env) {
    for (const message of batch.messages) {
      const { object, eventTime } = message.body;
      const file = await env.FILES.head(object.key);
      if (file) {
        await env.DB.prepare("INSERT OR REPLACE INTO files (key, name, type, size, uploaded) VALUES (?, ?, ?, ?, ?)")
          .bind(object.key, nameOf(object.key), file.httpMetadata?.contentType ?? "", file.size, eventTime)
          .run();
      }
      message.ack();
    }
  },
};

// allow signs the URL of one upload: this key, this type, this size, for ten minutes.
async function allow(request, env) {
  const { name, type, size } = await request.json().catch(() => ({}));
  if (typeof name !== "string" || !/^[^/\\\p{Cc}]{1,100}$/u.test(name)) return refuse(400, "name is a file name of 1 to 100 characters");
  if (typeof type !== "string" || !/^[\w.+-]+\/[\w.+-]+$/.test(type)) return refuse(400, "type is a media type");
  if (!Number.isInteger(size) || size < 1 || size > largest) return refuse(400, `size is 1 to ${largest} bytes`);

  const key = `${prefix}${crypto.randomUUID()}/${name}`;
  const url = new URL(`${env.S3_ENDPOINT}/direct-upload/${key.split("/").map(encodeURIComponent).join("/")}`);
  url.searchParams.set("X-Amz-Expires", "600");
  const client = new AwsClient({ accessKeyId: env.S3_ACCESS_KEY_ID, secretAccessKey: env.S3_SECRET_ACCESS_KEY, service: "s3", region: "auto" });
  const signed = await client.sign(url, {
    method: "PUT",
    headers: { "Content-Type": type, "Content-Length": String(size) },
    aws: { signQuery: true, allHeaders: true },
  });
  return Response.json({ url: signed.url, headers: { "Content-Type": type } });
}

const nameOf = (key) => key.slice(key.lastIndexOf("/") + 1);
const refuse = (status, error) => Response.json({ error }, { status });
