// The workflows as forms: the fields of each request with the API's names and defaults, the choices
// of each field, and the further images. `tests/page/test_forms.py` compares them with the API.

/** @typedef {Record<string, any>} Parameters */
/** @typedef {"models" | "backgrounds" | "complementary-garments"} CatalogKind */
/**
 * A further image. `upload` and `entry` are the request's fields that can name it; `replaces` are
 * the parameters that have no effect with it. A private one is never shown.
 * @typedef {{ name: string, upload?: string, entry: string, catalog: CatalogKind,
 *   isRequired: boolean, isPrivate?: boolean, replaces?: string }} Image
 */
/**
 * A parameter is named by its path in the request, such as `person.body`. Its value is the default:
 * null where the API may leave it open, and "" where it has to be chosen.
 * @typedef {{ parameters: Parameters, choices?: Record<string, string[]>, images: Image[],
 *   hasPhoto: boolean, isForMany: boolean }} Form
 */

/** @type {Image} */
const PERSON = { name: "person", upload: "person_upload_key", entry: "model_id", catalog: "models",
  isRequired: true, isPrivate: true };
/** @type {Image} */
const MODEL = { name: "model", entry: "model_id", catalog: "models", isRequired: false,
  replaces: "person." };
/** @type {Image} */
const BACKGROUND = { name: "background", upload: "background_upload_key", entry: "background_id",
  catalog: "backgrounds", isRequired: true };
/** @type {Image[]} */
const GARMENTS = [2, 3, 4].map((number) => ({ name: `garment_${number}`,
  upload: `garment_${number}_upload_key`, entry: `garment_${number}_id`,
  catalog: "complementary-garments", isRequired: number === 2 }));

const OUTPUTS = [{ size: 2048, format: "jpeg" }, { size: 1024, format: "webp" }];
const LAST = { seed: null, outputs: OUTPUTS };
const INVENTED_PERSON = { body: "female", age_range: "30-39", build: null, skin_tone: null,
  hair: null, hair_color: null, pose: "standing", framing: "full_body", aspect_ratio: "4:5" };
const INVENTED_SCENE = { place: "studio", mood: "neutral", dominant_colors: [] };
const WEARABLE = ["top", "bottom", "dress", "one_piece", "outerwear"];
const GARMENT_CATEGORIES = [...WEARABLE, "shoes", "headwear", "bag", "accessory"];

/** @type {Record<string, string[]>} */
const CHOICES = {
  shadow: ["none", "contact"],
  category: GARMENT_CATEGORIES,
  body: ["female", "male", "androgynous"],
  scene_type: ["studio", "tabletop", "wall", "spotlight"],
  mood: ["neutral", "bright", "warm", "cool", "dramatic"],
  age_range: ["20-29", "30-39", "40-49", "50-59", "60-75"],
  build: ["slim", "average", "athletic", "curvy", "plus_size"],
  skin_tone: ["very_light", "light", "medium", "brown", "dark", "very_dark"],
  hair: ["shaved", "short", "shoulder_length", "long", "tied_back"],
  hair_color: ["black", "brown", "blonde", "red", "grey"],
  pose: ["standing", "walking", "hand_on_hip", "turned"],
  framing: ["full_body", "three_quarter", "upper_body"],
  aspect_ratio: ["1:1", "4:5", "3:4", "2:3", "16:9"],
  place: ["studio", "interior", "street", "architecture", "nature", "beach"],
  style: ["casual", "business", "evening", "sporty", "street"],
};

/** @param {Parameters} parameters @param {Partial<Form>} [more] @returns {Form} */
const form = (parameters, more) =>
  ({ parameters, images: [], hasPhoto: true, isForMany: true, ...more });

/** @type {Record<string, Form>} */
export const FORMS = {
  "catalog-image": form({ background: "#ffffff", margin: 0.08, shadow: "none", outputs: OUTPUTS }),
  "background-swap-with-spec": form({ scene_type: "", mood: "neutral",
    dominant_colors: ["#e8e4de"], shadow: "contact", outputs: OUTPUTS }),
  "background-swap-with-image": form({ shadow: "contact", outputs: OUTPUTS },
    { images: [BACKGROUND] }),
  "extract": form({ category: null, background: "#ffffff", ...LAST }),
  "product-to-model-direct": form(
    { category: null, body: "female", background: "#f4f4f2", outputs: OUTPUTS },
    { choices: { category: ["top", "bottom", "dress"], body: ["female", "male"] } }),
  "product-to-model-phased": form({ category: null, ...under("person", INVENTED_PERSON),
    ...under("scene", INVENTED_SCENE), ...LAST }, { choices: { category: WEARABLE },
    images: [MODEL, { ...BACKGROUND, isRequired: false, replaces: "scene." }] }),
  "try-on": form({ category: null, ...LAST }, { choices: { category: WEARABLE },
    images: [PERSON] }),
  "look": form(LAST, { images: [...GARMENTS, PERSON], isForMany: false }),
  "model-swap-with-image": form(LAST, { images: [PERSON] }),
  "model-generator": form({ ...INVENTED_PERSON, details: null, name: null, ...LAST },
    { hasPhoto: false, isForMany: false }),
  "background-generator": form({ ...INVENTED_SCENE, aspect_ratio: "4:5", details: null, name: null,
    ...LAST }, { hasPhoto: false, isForMany: false }),
  "complementary-garment-generator": form({ category: "", style: "casual", color: null,
    details: null, name: null, ...LAST }, { isForMany: false }),
};

/** What the choice of a workflow is divided into. */
export const GROUPS = /** @type {const} */ ({
  product: ["catalog-image", "background-swap-with-spec", "background-swap-with-image", "extract"],
  person: ["product-to-model-direct", "product-to-model-phased", "try-on", "look",
    "model-swap-with-image"],
  catalog: ["model-generator", "background-generator", "complementary-garment-generator"],
});

/** The generator that fills each part of the catalog. */
export const GENERATORS = /** @type {const} */ ({
  "models": "model-generator",
  "backgrounds": "background-generator",
  "complementary-garments": "complementary-garment-generator",
});

/** @param {string} workflow */
export const formOf = (workflow) => FORMS[workflow] ?? form({ outputs: OUTPUTS });

/** The parameter's last name, by which fields, choices and words are found. */
/** @param {string} path */
export const lastName = (path) => path.split(".").at(-1) ?? path;

/** @param {string} workflow @param {string} path @returns {string[] | undefined} */
export const choicesOf = (workflow, path) =>
  FORMS[workflow]?.choices?.[path] ?? CHOICES[lastName(path)];

/** @param {string} name @param {Parameters} inner @returns {Parameters} */
function under(name, inner) {
  return Object.fromEntries(Object.entries(inner).map(([key, value]) => [`${name}.${key}`, value]));
}

/** The parameters as the API takes them: nested, and without those that are left open. */
/** @param {Parameters} parameters @returns {Parameters} */
export function requestOf(parameters) {
  /** @type {Parameters} */
  const request = {};
  for (const [path, value] of Object.entries(parameters)) {
    if (value === null) continue;
    const [outer = "", inner] = path.split(".");
    if (inner) request[outer] = { ...request[outer], [inner]: value };
    else request[outer] = value;
  }
  return request;
}

/** The form's parameters by their paths, with the values of a request where it has them. */
/** @param {string} workflow @param {Parameters} request @returns {Parameters} */
export function parametersOf(workflow, request) {
  const flat = Object.entries(request).map(([name, value]) =>
    value?.constructor === Object ? under(name, value) : { [name]: value });
  const given = Object.assign({}, ...flat);
  return Object.fromEntries(Object.entries(formOf(workflow).parameters)
    .map(([path, usual]) => [path, path in given ? given[path] : usual]));
}

/**
 * The field of the form that the API means by the place of a problem.
 * @param {string} workflow
 * @param {(string | number)[]} loc Such as ["body", "person", "age_range"].
 * @returns {string | undefined}
 */
export function fieldAt(workflow, loc) {
  const place = `${loc.filter((each) => each !== "body" && each !== "parameters").join(".")}.`;
  const { parameters, images } = formOf(workflow);
  const image = images.find(({ upload, entry }) => [`${upload}.`, `${entry}.`].includes(place));
  return image ? imageField(image) : Object.keys(parameters)
    .find((path) => place.startsWith(`${path}.`));
}

/** The name of an image's field: no parameter is called so. @param {Image} image */
export const imageField = ({ name }) => `image:${name}`;
