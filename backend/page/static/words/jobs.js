// In English: what the screens Jobs and Batches say, and the page of a batch.
import { addWords } from "../words.js";

export const JOBS_WORDS = /** @type {const} */ ({
  "jobs.none": "No jobs here",
  "jobs.none.details":
    "Each image that Atelier makes is a job. Those with this status are listed here.",

  "batches.none": "No batches yet",
  "batches.none.details": "Make images of many products at once, and follow them here.",

  "batch.heading": "Batch",
  "batch.failed": "The batch could not be loaded or changed",
  "batch.incomplete": "The collection could not be read completely",
  "batch.progress": "Progress",
  "batch.done": "{done} of {total} done",
  "batch.counts":
    "{succeeded} succeeded, {failed} failed, {running} in progress, {waiting} waiting",
  "batch.expanding": "The collection is still being read, so the number may grow.",
  "batch.waiting": "This batch waits for credits",
  "batch.waiting.details":
    "It goes on by itself when there are enough. After 30 days without them, it ends.",
  "batch.products": "Products",
  "batch.product": "Product {id}",
  "batch.productUnknown": "Product {id} (title unknown)",
  "batch.noItems": "No product has this status.",
  "batch.open": "Open the job",
  "batch.openJob": "Open the job of {product}",
  "batch.retry": { one: "Retry failed ({count})", other: "Retry failed ({count})" },
  "batch.cancel": "Cancel the batch",
  "batch.keep": "Keep it running",
  "batch.cancelHeading": "Cancel this batch?",
  "batch.cancelDetails": {
    one: "{count} product is not done yet and will not be made. What is done stays.",
    other: "{count} products are not done yet and will not be made. What is done stays.",
  },
});

addWords(JOBS_WORDS);
