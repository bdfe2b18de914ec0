// In English: what a job's page says.
import { addWords } from "../words.js";

export const JOB_WORDS = /** @type {const} */ ({
  "job.heading": "Job",
  "job.failed": "The job could not be loaded or changed",
  "job.failure": "The images could not be made",
  "job.again": "Make images again",
  "job.waiting": "This job waits",
  "job.waiting.provider": "Waiting for the provider",
  "job.atProvider": "It is making the picture. You can close this page meanwhile.",
  "job.waiting.reauth": "It goes on as soon as Atelier has access to your shop again.",
  "job.waiting.shopify": "Shopify does not respond. It goes on by itself.",
  "job.waiting.storage": "The image storage does not respond. It goes on by itself.",
  "job.images": "Images",
  "job.noImages": "There are no images.",
  "job.file": "{width} × {height} {format}",
  "job.size": "{kilobytes} kB",
  "job.progress": "Steps done",
  "job.timeline": "Timeline",
  "job.cancel": "Cancel the job",
  "job.keep": "Keep it running",
  "job.cancelHeading": "Cancel this job?",
  "job.cancelDetails": "Its images will not be made.",

  "publish.heading": "On the product",
  "publish.failed": "Publishing did not work",
  "publish.preview": "This is a preview to look at. It cannot be published.",
  "publish.alt": "Alt text",
  "publish.alt.details": "For people who do not see the image, and for search engines",
  "publish.place": "Place",
  "publish.atEnd": "At the end",
  "publish.willBe": "The product's media after publishing",
  "publish.isNow": "The product's media",
  "publish.new": "New",
  "publish.ours": "From Atelier",
  "publish.type.IMAGE": "Image",
  "publish.type.VIDEO": "Video",
  "publish.type.EXTERNAL_VIDEO": "Video",
  "publish.type.MODEL_3D": "3D model",
  "publish.publish": "Publish",
  "publish.restore": "Restore originals",
  "publish.keep": "Keep the images",
  "publish.restoreHeading": "Restore the originals?",
  "publish.restoreDetails": {
    one: "{count} image of Atelier is removed from the product.",
    other: "{count} images of Atelier are removed from the product.",
  },
  "publish.restoreRest":
    "The order, alt texts and variant images of the product's other media are restored. Images that you have added since stay. You can do this at any time.",
});

addWords(JOB_WORDS);
