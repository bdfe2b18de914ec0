import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: [string, string, string, string, string] };
const [, , baseUrl, token, product_id] = process.argv;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });
const outputs: components["schemas"]["Output"][] = [{ size: 1024, format: "webp" }];
const made = await client.POST("/v1/catalog-image", { body: { product_id, outputs } });
if (!made.data) throw new Error(made.error.error.code);
const path = { public_id: made.data.job_id };
const job = await client.GET("/v1/jobs/{public_id}", { params: { path } });
const widths: (number | undefined)[] = (job.data?.result ?? []).map((final) => final.meta.width);
const batch = await client.POST("/v1/batches", {
  body: { workflow: "catalog-image", parameters: { margin: 0.1 }, product_ids: [product_id] },
});
console.log(job.data?.status, widths.length, batch.data?.counts.total);
