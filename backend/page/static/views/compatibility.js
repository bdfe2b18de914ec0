// Whether the garments of a look go together. Loaded with the first of them that is chosen.
import { ApiError, call } from "../api.js";
import { list, text } from "../words.js";
import { choiceText } from "./form.js";
import { chosenFor } from "./images.js";
import { formOf, imageField } from "./workflows.js";
import "../words/compatibility.js";

/** @import { CompatibilityResponse } from "atelier-api" */
/** @import { MakeContext, MakeState } from "./make.js" */
/** What is known of the look. The product has no field here. */
/** @typedef {{ garments: { category: string, field: string }[], framing?: string }} Known */

/** Ask whether they go together, and keep the reasons against it as the notes of the fields. */
/** @param {MakeContext} context */
export async function notesOn({ state, set }) {
  const asked = state();
  const known = knownOf(asked);
  const notes = known.garments.length ? await notesFor(asked.workflow, known) : {};
  const isStill = JSON.stringify(knownOf(state())) === JSON.stringify(known);
  if (isStill && state().workflow === asked.workflow) set({ notes });
}

/** An upload does not say what it shows. @param {MakeState} state @returns {Known} */
function knownOf({ workflow, images, source, guess }) {
  const product = source === "products" && guess ? [{ category: guess, field: "" }] : [];
  const entries = formOf(workflow).images.map((image) => {
    const { way, entry } = chosenFor(images, image);
    const { category, framing } = (way === "catalog" && entry?.attributes) || {};
    return { category, framing, field: imageField(image) };
  });
  const framing = entries.find((each) => each.framing)?.framing;
  return {
    garments: [...product, ...entries.filter(({ category }) => category)
      .map(({ category, field }) => ({ category, field }))],
    ...(framing ? { framing } : {}),
  };
}

/** @param {string} workflow @param {Known} known @returns {Promise<Record<string, string>>} */
async function notesFor(workflow, { garments, framing }) {
  const body = { workflow, garments: garments.map(({ category }) => category), framing };
  /** @type {CompatibilityResponse} */
  const { reasons } = await call("POST", "/v1/compatibility/check", { body }).catch((error) => {
    if (error instanceof ApiError) return { reasons: [] }; // it is advice: nothing depends on it
    throw error;
  });
  /** @type {Record<string, string>} */
  const notes = {};
  for (const { code, garments: about } of reasons) {
    const names = [...new Set(about)].map((each) => choiceText("category", each));
    const note = text(`together.${code}`, { garments: list(names) });
    const fields = garments.flatMap(({ category, field }) =>
      (field && /** @type {string[]} */ (about).includes(category) ? [field] : []));
    for (const field of fields.length ? fields : [PERSON_FIELD]) {
      notes[field] = [notes[field], note].filter(Boolean).join(" ");
    }
  }
  return notes;
}

const PERSON_FIELD = "image:person"; // what only the product needs is a matter of the person
