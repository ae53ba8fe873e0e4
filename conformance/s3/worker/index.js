// What an application does with R2 through the AWS SDK.
import {
  CompleteMultipartUploadCommand, CreateBucketCommand, CreateMultipartUploadCommand, DeleteBucketCommand, DeleteObjectsCommand,
  GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client, UploadPartCommand,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { DOMParser, Node } from "@xmldom/xmldom";

// The SDK takes a Worker for a browser, at Cloudflare too.
Object.assign(globalThis, { DOMParser, Node });

const Bucket = "sdk-files";

export default {
  async fetch(request, env) {
    const client = new S3Client({
      region: "auto", endpoint: env.ENDPOINT, forcePathStyle: true, credentials: { accessKeyId: env.KEY, secretAccessKey: env.SECRET },
    });
    const run = (command) => client.send(command);
    await run(new CreateBucketCommand({ Bucket }));

    const Key = "a folder/é + %2F 日本.txt";
    await run(new PutObjectCommand({ Bucket, Key, Body: "hello", ContentType: "text/plain", Metadata: { color: "red" } }));
    const got = await run(new GetObjectCommand({ Bucket, Key, ChecksumMode: "ENABLED" }));
    const text = await got.Body.transformToString();

    const part = new Uint8Array(5 << 20).fill(65);
    const { UploadId } = await run(new CreateMultipartUploadCommand({ Bucket, Key: "parts" }));
    const Parts = [];
    for (const [i, Body] of [part, new Uint8Array([66])].entries()) {
      const { ETag } = await run(new UploadPartCommand({ Bucket, Key: "parts", UploadId, PartNumber: i + 1, Body }));
      Parts.push({ ETag, PartNumber: i + 1 });
    }
    await run(new CompleteMultipartUploadCommand({ Bucket, Key: "parts", UploadId, MultipartUpload: { Parts } }));
    const head = await run(new HeadObjectCommand({ Bucket, Key: "parts" }));

    const url = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key: "direct" }), { expiresIn: 60 });
    const direct = await fetch(url, { method: "PUT", body: "uploaded" });

    const list = await run(new ListObjectsV2Command({ Bucket, Delimiter: "/" }));
    const names = (await run(new ListObjectsV2Command({ Bucket }))).Contents.map((o) => o.Key);
    let missing;
    try {
      await run(new GetObjectCommand({ Bucket, Key: "none" }));
    } catch (e) {
      missing = `${e.name} ${e.$metadata.httpStatusCode}`;
    }
    await run(new DeleteObjectsCommand({ Bucket, Delete: { Objects: names.map((Key) => ({ Key })) } }));
    await run(new DeleteBucketCommand({ Bucket }));
    return Response.json({
      text, color: got.Metadata.color, type: got.ContentType, size: head.ContentLength, direct: direct.status,
      folders: list.CommonPrefixes.map((p) => p.Prefix), names, missing,
    });
  },
};
