// The cards of Review, their keys, and what other screens show of an image: the slider between the
// original and the result, and the verdict with its reasons.
import { h } from "../elements.js";
import { statusBadge, workflowName } from "../states.js";
import { errorText, text, textOr } from "../words.js";

/** @import { ArtifactResponse, ReviewCard } from "atelier-api" */
/** @import { ReviewActions, ReviewState, Tab } from "./review.js" */

export const COLUMNS = "repeat(auto-fill, minmax(min(220px, 100%), 1fr))";

/** @param {ReviewCard} card */
export const idOf = (card) => card.public_id;
/** @param {ReviewCard} card */
export const titleOf = (card) => card.product?.title ?? workflowName(card.job_type);
/** @param {ReviewCard} card */
export const isPublishable = ({ product, result }) =>
  Boolean(product && !result[0]?.meta.is_preview);
/** @param {string | undefined} id */
export const elementOf = (id) => document.getElementById(`card-${id}`);

/** @param {ReviewState} state @param {ReviewActions} act */
export function cardList(state, act) {
  const style = { display: "grid", gap: "16px", gridTemplateColumns: COLUMNS };
  return state.cards?.length ? h("div", { role: "list", style }, state.cards.map((card) =>
    h("div", { key: idOf(card), id: `card-${idOf(card)}`, role: "listitem", tabIndex: -1,
      "aria-label": titleOf(card) }, content(card, state, act)))) : null;
}

/** @param {ReviewCard} card @param {ReviewState} state @param {ReviewActions} act */
function content(card, { selected, refused, busy, tab }, act) {
  const id = idOf(card);
  const title = titleOf(card);
  const status = card.publication?.status;
  return h("s-box", { padding: "small", border: "base", borderRadius: "base",
    background: selected?.has(id) ? "subdued" : "base" },
    h("s-stack", { gap: "small-200" },
      comparison({ original: card.original, result: card.preview ?? card.result[0], title }),
      h("s-stack", { direction: "inline", gap: "small-200", alignItems: "center" },
        selected && isPublishable(card) && h("s-checkbox", {
          checked: selected.has(id), onChange: () => act.toggle(id),
          accessibilityLabel: text("review.selectOne", { title }) }),
        h("s-link", { href: `/jobs/${id}` }, title),
        status && statusBadge(status)),
      verdict(card.result[0]),
      refused[id] && h("s-paragraph", { tone: "critical" }, errorText(refused[id])),
      decisions(card, tab, busy.has(id), act)));
}

/** @param {ReviewCard} card @param {Tab} tab @param {boolean} isBusy @param {ReviewActions} act */
function decisions(card, tab, isBusy, act) {
  /** @param {"publish" | "dismiss" | "putBack"} word @param {() => unknown} onClick */
  const button = (word, onClick) => h("s-button", { key: word, onClick, disabled: isBusy,
    variant: word === "publish" ? "primary" : "secondary",
    accessibilityLabel: text(`review.${word}One`, { title: titleOf(card) }),
  }, text(`review.${word}`));
  if (tab === "published") return null;
  if (tab === "dismissed") return button("putBack", () => act.putBack(card));
  return h("s-stack", { direction: "inline", gap: "small-200" },
    isPublishable(card) && button("publish", () => act.publish([card])),
    button("dismiss", () => act.dismiss(card)));
}

/**
 * One-letter keys, only while the focus is in the list (WCAG 2.1.4).
 * @param {KeyboardEvent} event
 * @param {ReviewState} state
 * @param {ReviewActions} act
 */
export function pressed(event, { cards, tab }, act) {
  if (event.metaKey || event.ctrlKey || event.altKey) return;
  const target = /** @type {Node} */ (event.target);
  const at = cards?.findIndex((card) => elementOf(idOf(card))?.contains(target)) ?? -1;
  const card = cards?.[at];
  const element = elementOf(card?.public_id);
  const slider = element?.querySelector("atelier-compare");
  const isWaiting = card && tab === "waiting";
  const isOnControl = target !== element && target !== slider; // Space presses that
  /** @type {Record<string, false | null | undefined | (() => unknown)>} */
  const keys = {
    j: () => elementOf(cards?.[at + 1]?.public_id)?.focus(),
    k: () => elementOf(cards?.[at - 1]?.public_id)?.focus(),
    p: isWaiting && isPublishable(card) && (() => act.publish([card])),
    x: isWaiting && (() => act.dismiss(card)),
    u: act.undo,
    " ": !isOnControl && slider instanceof Compare && (() => slider.flip()),
    "?": () => /** @type {any} */ (document.getElementById("shortcuts")).showOverlay(),
  };
  const action = keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

/**
 * The images to compare. Without an original there is no slider: the result must not pass for it.
 * @param {{ original: ArtifactResponse | null | undefined, result: ArtifactResponse | undefined,
 *   title: string }} images
 */
export function comparison({ original, result, title }) {
  const src = result?.image_url ?? "";
  return original
    ? h("atelier-compare", { original: original.image_url, result: src,
      label: text("compare.label", { title }) })
    : h("s-image", { src, alt: title, aspectRatio: "1/1", objectFit: "contain", loading: "lazy" });
}

/** The verdict on an image, with its reasons. @param {ArtifactResponse | undefined} artifact */
export function verdict(artifact) {
  const { verdict: found, reasons = [], is_preview: isPreview, generative } = artifact?.meta ?? {};
  return h("s-stack", { gap: "small-300" },
    h("s-stack", { direction: "inline", gap: "small-300" },
      found === "pass" && h("s-badge", { tone: "success" }, text("verdict.pass")),
      found === "needs_review" && h("s-badge", { tone: "warning" }, text("verdict.review")),
      generative && h("s-badge", { tone: "info" }, text("verdict.generative")),
      isPreview && h("s-badge", { tone: "info" }, text("verdict.preview"))),
    reasons.map((/** @type {{ code: string, message: string }} */ { code, message }) =>
      h("s-text", { key: code, color: "subdued" }, textOr(`reason.${code}`, message))));
}

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  :host { display: block; position: relative; aspect-ratio: 1; overflow: hidden;
    background: #f7f7f7; border-radius: 8px }
  :host(:focus-within) { outline: 2px solid #005bd3; outline-offset: 2px }
  img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain;
    background: #f7f7f7 }
  #result { clip-path: inset(0 0 0 var(--at)) }
  #line { position: absolute; inset: 0 auto 0 var(--at); width: 2px; margin-left: -1px;
    background: #fff; box-shadow: 0 0 0 1px #0008; pointer-events: none }
  #line::after { content: "◂▸"; position: absolute; top: 50%; left: 50%; translate: -50% -50%;
    padding: 0 5px; border-radius: 12px; background: #fff; color: #303030;
    box-shadow: 0 0 0 1px #0008; font: 11px/24px system-ui; letter-spacing: 1px }
  input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
    cursor: ew-resize; touch-action: pan-y; appearance: none }
  input::-webkit-slider-thumb { appearance: none; width: 1px; height: 100% }
  span { position: absolute; bottom: 6px; padding: 0 6px; border-radius: 6px; background: #000b;
    color: #fff; font: 11px/18px system-ui; pointer-events: none }
  #before { left: 6px } #after { right: 6px }
  @media (prefers-reduced-motion: no-preference) {
    .flipping #result { transition: clip-path .2s } .flipping #line { transition: left .2s }
  }`);

/**
 * `<atelier-compare original result label>`. In a shadow root, because App Bridge watches every
 * attribute under <s-page> and sends the title bar again after each change. The slider is a native
 * range input, so that the keyboard, a pointer and a screen reader work without code.
 */
export class Compare extends HTMLElement {
  // Not `before` and `after`: every element has methods of these names, and Preact would set them.
  static observedAttributes = ["original", "result", "label"];

  constructor() {
    super();
    this.shadow = this.attachShadow({ mode: "open", delegatesFocus: true });
    this.shadow.adoptedStyleSheets = [sheet];
    this.shadow.innerHTML = `<div id="frame">
      <img id="original" alt="" loading="lazy" decoding="async">
      <img id="result" alt="" loading="lazy" decoding="async">
      <div id="line" aria-hidden="true"></div>
      <input type="range" min="0" max="100" value="50">
      <span id="before" aria-hidden="true"></span><span id="after" aria-hidden="true"></span>
      </div>`;
    this.byId("before").textContent = text("compare.before");
    this.byId("after").textContent = text("compare.after");
    this.input = /** @type {HTMLInputElement} */ (this.shadow.querySelector("input"));
    this.input.addEventListener("input", () => this.place(false));
    // As of every picture; it does not leave the shadow root by itself.
    this.shadow.addEventListener("error", () => this.dispatchEvent(new Event("error")), true);
    this.place(false);
  }

  /** Show the whole original, or the whole result if the original is shown already. */
  flip() {
    this.input.value = this.input.value === "100" ? "0" : "100";
    this.place(true);
  }

  /** @param {string} name @param {string | null} _old @param {string | null} value */
  attributeChangedCallback(name, _old, value) {
    if (name === "label") this.input.setAttribute("aria-label", value ?? "");
    else if (value) /** @type {HTMLImageElement} */ (this.byId(name)).src = value;
  }

  /** @param {boolean} flipping Whether to move there, rather than to follow a pointer. */
  place(flipping) {
    const frame = this.byId("frame");
    frame.className = flipping ? "flipping" : "";
    frame.style.setProperty("--at", `${this.input.value}%`);
    const shown = { percent: Number(this.input.value) };
    this.input.setAttribute("aria-valuetext", text("compare.value", shown));
  }

  /** @param {string} id */
  byId(id) {
    return /** @type {HTMLElement} */ (this.shadow.getElementById(id));
  }
}

customElements.define("atelier-compare", Compare);
