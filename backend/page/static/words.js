// Everything that the page says, in English, and the functions that say it in the merchant's
// language: `locale/<language>.json` has the same keys. A key that is missing there stays English.
// A text with a number has a form for each plural category of its language; `{name}` is filled in.

/** @import { ApiError } from "./api.js" */

export const ENGLISH = /** @type {const} */ ({
  "app.name": "Atelier",
  "nav.review": "Review",
  "nav.make": "Make images",
  "nav.jobs": "Jobs",
  "nav.batches": "Batches",
  "nav.settings": "Settings",

  "state.loading": "Loading",
  "state.again": "Try again",
  "state.error": "This did not work",
  "state.offline": "Atelier can't be reached",
  "state.limited": "Too many requests at once",
  "state.session": "Shopify has not confirmed your session yet",
  "state.retries": "The page tries again at {time}. What you see may be out of date.",
  "state.notDone": "Your last change was not carried out.",
  "state.authorizing": "Connecting to your shop",
  "state.authorizing.details": "Shopify is giving Atelier access again. This takes a few seconds.",
  "state.request": "Request ID for support: {id}",
  "unknown.heading": "There is no such page",
  "unknown.details": "The address may be old or incomplete.",
  "outside.details": "Open Atelier from your Shopify admin: Apps, then Atelier.",

  "error.PAGE_ERROR": "The page has an error. Reload it; if that does not help, tell support what you did.",
  "error.UNREADABLE": "Atelier sent a response that the page can't read.",
  "error.INTERNAL_ERROR": "Atelier has an error. Tell support the request ID.",
  "error.SCOPE_MISSING": "Atelier may not change this shop's product media. Open the app again and grant the access that Shopify asks for.",
  "error.PRECONDITION_FAILED": "Someone else changed this at the same time.",
  "error.TOO_MANY_OPEN_JOBS": "Too many jobs are unfinished. Try again when some have finished.",
  "error.TOO_MANY_OPEN_BATCHES": "Too many batches are still starting their jobs. Try again later.",
  "error.STORAGE_QUOTA_REACHED": "This shop has used all of its image storage. Ask support for more.",
  "error.RATE_LIMITED": "Too many requests at once. Try again in a minute.",

  "workflow.catalog-image": "Catalog image",
  "workflow.background-swap-image": "Product in front of a picture",
  "workflow.background-swap-spec": "Product in front of a drawn background",
  "workflow.product-to-model-direct": "Product on a mannequin",
});

/** @typedef {keyof typeof ENGLISH} WordKey */
/** @typedef {string | { [category in Intl.LDMLPluralRule]?: string }} Word */
/** @typedef {Record<string, string | number>} Values */

const LANGUAGES = ["de"]; // besides English: the files in `locale/`

let language = "en";
/** @type {Partial<Record<string, Word>>} */
let translated = {};

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
  const word = /** @type {Word} */ (translated[key] ?? ENGLISH[key]);
  const form = typeof word === "string" ? word : (word[pluralOf(Number(values.count))] ?? word.other ?? "");
  return form.replaceAll(/\{(\w+)\}/g, (_, /** @type {string} */ name) => shown(values[name]));
}

/**
 * A text by a key that is put together, such as `workflow.${name}`; `fallback` if there is none.
 * @param {string} key
 * @param {string} fallback
 */
export function textOr(key, fallback) {
  return key in ENGLISH ? text(/** @type {WordKey} */ (key)) : fallback;
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
 * A list, such as "Hats, Shirts, and Socks".
 * @param {string[]} items
 */
export const list = (items) => new Intl.ListFormat(language).format(items);

/**
 * Day and time.
 * @param {string | Date} at ISO 8601, as the API sends it.
 */
export const moment = (at) =>
  new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(at));

/**
 * The time of day, to the second.
 * @param {string | Date} at
 */
export const clock = (at) => new Intl.DateTimeFormat(language, { timeStyle: "medium" }).format(new Date(at));
