// What the page says, in English, and the functions that say it in the merchant's language. What
// only one screen says is in `words/`, and is loaded with that screen's module.
// `locale/<language>.json` has the keys of all. A key that is missing there stays English.
// Reasons, stages and most failures are in English as the API words them, for merchants; so only
// the other languages have their keys: `reason.CODE`, `stage.NAME`, `failure.CODE`.
// A text with a number has a form for each plural category of its language; `{name}` is filled in.

/** @import { ApiError } from "./api.js" */

export const ENGLISH = /** @type {const} */ ({
  "app.name": "Atelier",
  "nav.review": "Review",
  "nav.make": "Make images",
  "nav.jobs": "Jobs",
  "nav.batches": "Batches",
  "nav.gallery": "Gallery",
  "nav.catalog": "Catalog",
  "nav.plan": "Credits",
  "nav.settings": "Settings",
  "nav.webhooks": "Webhooks",

  "state.loading": "Loading",
  "state.again": "Try again",
  "state.error": "This did not work",
  "state.offline": "Atelier can't be reached",
  "state.limited": "Too many requests at once",
  "state.session": "Shopify has not confirmed your session yet",
  "state.retries": "The page tries again at {time}. What you see may be out of date.",
  "state.notDone": "Atelier has not confirmed your last change.",
  "state.authorizing": "Connecting to your shop",
  "state.authorizing.details": "Shopify is giving Atelier access again. This takes a few seconds.",
  "state.request": "Request ID for support: {id}",
  "unknown.heading": "There is no such page",
  "unknown.details": "The address may be old or incomplete.",
  "stale.heading": "This part of Atelier can't be loaded",
  "stale.details": "There is no connection, or there is a new version of Atelier.",
  "stale.reload": "Load the page again",
  "outside.details": "Open Atelier from your Shopify admin: Apps, then Atelier.",

  "error.OFFLINE": "Atelier can't be reached at the moment. Try again.",
  "error.PAGE_ERROR":
    "The page has an error. Reload it; if that does not help, tell support what you did.",
  "error.UNREADABLE": "Atelier sent a response that the page can't read.",
  "error.INTERNAL_ERROR": "Atelier has an error. Tell support the request ID.",
  "error.SCOPE_MISSING":
    "Atelier may not change this shop's product media. Open the app again and grant the access that Shopify asks for.",
  "error.PRECONDITION_FAILED": "Someone else changed this at the same time.",
  "error.TOO_MANY_OPEN_JOBS": "Too many jobs are unfinished. Try again when some have finished.",
  "error.TOO_MANY_OPEN_BATCHES": "Too many batches are still starting their jobs. Try again later.",
  "error.STORAGE_QUOTA_REACHED":
    "This shop has used all of its image storage. Ask support for more.",
  "error.INSUFFICIENT_BALANCE": "You do not have enough credits for this.",
  "error.CHARGE_REFUSED": "Shopify refused this charge. Ask support.",
  "error.PLAN_ALREADY_ACTIVE": "You have this plan already.",
  "error.TOO_MANY_OPEN_CHARGES":
    "Too many of your orders wait for approval in Shopify. Try again later.",
  "error.RATE_LIMITED": "Too many requests at once. Try again in a minute.",

  "error.IMAGE_TYPE_UNSUPPORTED": "Atelier can't read this kind of image. Save it as JPEG or PNG.",
  "error.IMAGE_TOO_LARGE": "This photo is too large: at most 25 MB and 100 million pixels.",
  "error.IMAGE_TOO_SMALL": "This photo has too few pixels. Use a larger one.",
  "error.IMAGE_ANIMATED": "This photo is animated or has several pages. Use a still one.",
  "error.IMAGE_CORRUPT": "This photo is damaged or incomplete. Export it again.",
  "error.IMAGE_TOO_COMPLEX": "This photo takes too long to read. Save it as a JPEG and try again.",
  "error.JOB_NOT_FOUND": "This job no longer exists.",
  "error.BATCH_NOT_FOUND": "This batch no longer exists.",
  "error.JOB_NOT_FINISHED": "This job has not finished yet.",
  "error.JOB_ALREADY_FINISHED": "This job has finished already.",
  "error.BATCH_ALREADY_FINISHED": "This batch has finished already.",
  "error.BATCH_NOTHING_TO_RETRY": "Nothing in this batch has failed.",
  "error.ALREADY_PUBLISHED":
    "These images are on the product already, or are still being removed from it.",
  "error.PREVIEW_NOT_PUBLISHABLE": "A preview cannot be published.",
  "error.JOB_HAS_NO_PRODUCT": "This job was made from a photo of your own, without a product.",
  "error.PRODUCT_NOT_FOUND": "The product was deleted in Shopify.",
  "error.SHOPIFY_UNAVAILABLE": "Shopify does not respond at the moment. Try again in a minute.",
  "error.NO_ENGINE": "This kind of image is not set up here yet.",
  "error.WORKFLOW_DISABLED": "This kind of image is switched off at the moment.",
  "error.INVALID_REQUEST": "Atelier does not accept these values.",
  "error.UNAUTHENTICATED": "Shopify did not confirm who you are. Reload the page.",
  "error.SHOP_NOT_INSTALLED":
    "Atelier is not installed in this shop. Open it again from your Shopify admin.",
  "error.AMBIGUOUS_CREDENTIALS": "Atelier could not tell who you are. Reload the page.",
  "error.BAD_REQUEST": "Atelier could not read this request. Reload the page, and try again.",
  "error.NOT_FOUND": "Atelier does not know this address. Reload the page.",
  "error.RESOURCE_NOT_FOUND": "This no longer exists.",
  "error.PUBLICATION_NOT_FOUND": "These images are not published.",
  "error.PHOTO_EXPIRED": "A photo of this job is no longer stored. Create a new job instead.",
  "error.STOREFRONT_JOB":
    "A visitor of your store asked for this job, so it can't be run again. Create a new job.",
  "error.BILLING_DISABLED": "Atelier does not charge in this shop, so there is nothing to buy.",
  "error.PACKS_NOT_SOLD": "Atelier does not sell packs here. Choose a plan.",
  "error.REQUEST_IN_PROGRESS": "Your first request is still in progress. Try again in a moment.",
  "error.IDEMPOTENCY_KEY_REUSED": "This form was sent already with other values. Reload the page.",
  "error.BODY_TOO_LARGE": "This is too large to be sent. Use a smaller file.",
  "error.BODY_TOO_SLOW": "The upload took too long. Try again with a faster connection.",
  "error.UNSUPPORTED_MEDIA_TYPE": "Atelier can't read this kind of file.",
  "error.SERVER_BUSY": "Atelier is busy. Try again in a minute.",
  "error.DATABASE_UNAVAILABLE":
    "Atelier's database does not respond. Nothing was changed. Try again in a minute.",
  "error.STORAGE_UNAVAILABLE": "The image storage does not respond. Try again in a minute.",
  "error.UPLOADS_UNAVAILABLE": "Photos can't be uploaded at the moment. Try again in a minute.",

  "workflow.catalog-image": "Catalog image",
  "workflow.background-swap-with-image": "Product in front of a picture",
  "workflow.background-swap-with-spec": "Product in front of a drawn background",
  "workflow.product-to-model-direct": "Worn product",
  "workflow.product-to-model-phased": "Product on a model",
  "workflow.try-on": "Try-on",
  "workflow.look": "Look",
  "workflow.extract": "Product photo from a worn product",
  "workflow.model-swap-with-image": "Another model",
  "workflow.model-generator": "Model for the catalog",
  "workflow.background-generator": "Background for the catalog",
  "workflow.complementary-garment-generator": "Garment for the catalog",

  "credits.left": { one: "{count} credit left", other: "{count} credits left" },
  "credits.held": { one: "{count} held", other: "{count} held" },
  "credits.buy": "Get credits",
  "credits.short": "Not enough credits",
  "credits.short.details": "This costs {required}. You have {available}.",

  "plan.frozen": "Your plan is frozen",
  "plan.frozen.details":
    "Your shop has an unpaid Shopify bill, so the plan gives no new credits. Pay the bill in Shopify, and it goes on. Credits that you have still work.",
  "plan.frozen.pay": "Open billing in Shopify",
  "status.NOT_STARTED": "Waiting",
  "status.IN_PROGRESS": "In progress",
  "status.SUCCESS": "Done",
  "status.FAILURE": "Failed",
  "status.EXPANDING": "Starting",
  "status.PARTIAL": "Partly done",
  "status.CANCELLED": "Cancelled",
  "status.PENDING": "Publishing soon",
  "status.PUBLISHING": "Publishing",
  "status.PUBLISHED": "Published",
  "status.FAILED": "Publishing failed",
  "status.RESTORING": "Restoring",
  "status.RESTORED": "Originals restored",
  "publication.PENDING": "The images will be published in a moment.",
  "publication.PUBLISHING": "The images are being added to the product.",
  "publication.PUBLISHED": "The images are on the product.",
  "publication.FAILED": "The images could not be published.",
  "publication.RESTORING": "The images are being removed from the product.",
  "publication.RESTORED": "The product has its original images again.",

  "verdict.pass": "Looks good",
  "verdict.review": "Please check",
  "verdict.preview": "Preview only",
  "verdict.generative": "Made with AI",

  "failure.CANCELLED": "It was cancelled.",
  "failure.SHOP_UNINSTALLED": "The app was removed from the shop. Now that it is back, try again.",
  "failure.REAUTH_NEEDED": "Nobody opened Atelier for 30 days. Now that it is open, try again.",
  "failure.SCOPE_MISSING":
    "Atelier lacks access to products or files. Open it again and grant the access.",
  "failure.SOURCE_JOB_EXPIRED": "The photo of the job to repeat is no longer stored. Create a new job.",
  "failure.UPLOAD_EXPIRED": "The uploaded photo is no longer stored. Upload it again.",
  "failure.WORKFLOW_RETIRED": "This kind of image is no longer offered. Choose another one.",
  "failure.CONTENT_REFUSED":
    "The provider's safety rules refused this picture. Nothing was charged. Use another photo.",
  "failure.POSE_NOT_FOUND":
    "No person, or no usable pose, was found in the photo. Use one that shows a person from the front.",
  "failure.PROVIDER_FAILED": "The provider could not make the picture. Try again.",
  "failure.PROVIDER_TIMEOUT": "The provider did not finish the picture in time. Try again later.",
  "failure.PROVIDER_OUTPUT_INVALID": "The provider delivered no usable picture. Try again.",
  "failure.CATEGORY_UNKNOWN":
    "The product's type and tags do not say which kind of garment this is. Choose the kind yourself.",
  "failure.ENGINE_MISSING": "The service for this kind of image is no longer set up. Ask support.",
  "failure.RESTORE_INCOMPLETE":
    "Our images are gone, but not everything is as it was. Restore the originals again.",

  "event.queued": "Waiting for its turn",
  "event.succeeded": "Done",

  "list.failed": "The list can't be loaded",
  "list.newest": "Newest first",
  "list.more": "Show more",
  "list.all": "All",
  "list.workflow": "Kind",
  "list.created": "Started",
  "list.status": "Status",
  "list.done": "Done",
  "list.product": "Product",
  "list.result": "Result",

  "compare.label": "{title}: original and result",
  "compare.before": "Before",
  "compare.after": "After",
  "compare.value": "{percent} % original",

  "make.credits": { one: "{count} credit", other: "{count} credits" },
});

/** @typedef {keyof typeof ENGLISH
 *   | keyof typeof import("./words/compatibility.js").COMPATIBILITY_WORDS
 *   | keyof typeof import("./words/gallery.js").GALLERY_WORDS
 *   | keyof typeof import("./words/job.js").JOB_WORDS
 *   | keyof typeof import("./words/jobs.js").JOBS_WORDS
 *   | keyof typeof import("./words/lineage.js").LINEAGE_WORDS
 *   | keyof typeof import("./words/make.js").MAKE_WORDS
 *   | keyof typeof import("./words/plan.js").PLAN_WORDS
 *   | keyof typeof import("./words/review.js").REVIEW_WORDS
 *   | keyof typeof import("./words/settings.js").SETTINGS_WORDS
 *   | keyof typeof import("./words/webhooks.js").WEBHOOK_WORDS} WordKey */
/** @typedef {string | { [category in Intl.LDMLPluralRule]?: string }} Word */
/** @typedef {Record<string, string | number>} Values */

const LANGUAGES = ["de"]; // besides English: the files in `locale/`

let language = "en";
/** @type {Partial<Record<string, Word>>} */
const english = { ...ENGLISH };
/** @type {Partial<Record<string, Word>>} */
let translated = {};

/** Add the words of one screen, in English. @param {Record<string, Word>} words */
export const addWords = (words) => void Object.assign(english, words);

/**
 * Choose the language of a locale such as `de-AT`; English if there is none.
 * @param {string} locale
 */
export async function chooseLanguage(locale) {
  const name = locale.split("-")[0]?.toLowerCase() ?? "";
  language = LANGUAGES.includes(name) || name === "en" ? locale : "en";
  document.documentElement.lang = language;
  if (!LANGUAGES.includes(name)) return;
  // Not `fetch`: App Bridge would wait for a session token first.
  const file = `./locale/${name}.json`;
  try {
    translated = (await import(file, { with: { type: "json" } })).default;
  } catch (error) {
    language = document.documentElement.lang = "en"; // an old browser: English works too
    console.warn("The translation could not be loaded.", error);
  }
}

/**
 * The text in the merchant's language. Numbers among the values are formatted; `count` chooses the
 * plural.
 * @param {WordKey} key
 * @param {Values} [values]
 */
export function text(key, values = {}) {
  const word = /** @type {Word} */ (translated[key] ?? english[key]);
  const form = typeof word === "string" ? word : word[pluralOf(Number(values.count))] ?? word.other;
  return (form ?? "").replaceAll(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

/**
 * A text by a key that is put together, such as `workflow.${name}`; `fallback` if there is none.
 * @param {string} key
 * @param {string} fallback
 */
export function textOr(key, fallback) {
  return key in english || key in translated ? text(/** @type {WordKey} */ (key)) : fallback;
}

/**
 * Our own words for the code of an error, else the server's message.
 * @param {ApiError} error
 */
export const errorText = (error) => textOr(`error.${error.code}`, error.message);

/** @param {number} count */
const pluralOf = (count) => new Intl.PluralRules(language).select(count);

/** @param {string | number | undefined} value */
const shown = (value) => (typeof value === "number" ? number(value) : (value ?? ""));

/** @param {number} value */
export const number = (value) => new Intl.NumberFormat(language).format(value);

/**
 * An amount of money.
 * @param {string | number} price
 * @param {string} currency ISO 4217
 * @param {number} [digits] After the point at most, if not as usual in the currency.
 */
export const money = (price, currency, digits) =>
  new Intl.NumberFormat(language, { style: "currency", currency,
    ...(digits === undefined ? {} : { maximumFractionDigits: digits }) }).format(Number(price));

/**
 * A list, such as "Hats, Shirts, and Socks".
 * @param {string[]} items
 */
export const list = (items) => new Intl.ListFormat(language).format(items);

/**
 * Day and time.
 * @param {string | Date} at ISO 8601, as the API sends it.
 */
export const moment = (at) =>
  new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" })
    .format(new Date(at));

/**
 * The day of a moment, where the merchant is.
 * @param {string | Date} at
 */
export const day = (at) =>
  new Intl.DateTimeFormat(language, { dateStyle: "medium" }).format(new Date(at));

/**
 * A day of the API, which are in UTC: the same everywhere.
 * @param {string} date ISO 8601, without a time.
 */
export const calendarDay = (date) =>
  new Intl.DateTimeFormat(language, { dateStyle: "medium", timeZone: "UTC" })
    .format(new Date(date));

/**
 * The time of day, to the second.
 * @param {string | Date} at
 * @param {boolean} [hasDay] Whether the day comes with it.
 */
export const clock = (at, hasDay = false) =>
  new Intl.DateTimeFormat(language,
    { timeStyle: "medium", ...(hasDay ? { dateStyle: "medium" } : {}) }).format(new Date(at));
