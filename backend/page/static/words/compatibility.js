// In English: why garments do not go together.
import { addWords } from "../words.js";

export const COMPATIBILITY_WORDS = /** @type {const} */ ({
  "together.SAME_PLACE": "One person can wear only one of these: {garments}.",
  "together.NEEDS_FULL_BODY": "Needs a person who is shown from head to toe: {garments}.",
  "together.NOT_TAKEN": "This kind of image does not show: {garments}.",
  "together.TOO_MANY_GARMENTS": "These are too many garments for one image: {garments}.",
});

addWords(COMPATIBILITY_WORDS);
