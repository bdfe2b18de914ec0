// Many jobs: the list of all, the list of batches, and one batch.
import { call, nextPage, poll } from "../api.js";
import { buyButton } from "../credits.js";
import { h } from "../elements.js";
import { defineScreen } from "../screen.js";
import {
  failureText, makeButton, skeletonCards, statusBadge, statusBanner, workflowName,
} from "../states.js";
import { moment, text } from "../words.js";
import "../words/jobs.js";

/** @import { ComponentChildren } from "preact" */
/** @import { BatchItemResponse, BatchResponse, JobStatus, JobSummary } from "atelier-api" */
/** @import { CommonState, Context } from "../screen.js" */
/** @import { WordKey } from "../words.js" */
/**
 * The rows that are shown, and the address of the next page.
 * @template Row
 * @typedef {{ rows: Row[] | null, next: string | null, isReadingMore: boolean }} ListState
 */
/** @typedef {ListState<BatchItemResponse> & { batch: BatchResponse | null, status: string,
 *   isBusy: boolean }} BatchState */

const STATUSES = /** @type {JobStatus[]} */ (["NOT_STARTED", "IN_PROGRESS", "SUCCESS", "FAILURE"]);
const UNFINISHED = ["NOT_STARTED", "IN_PROGRESS", "EXPANDING"];
const NO_ROWS = { rows: null, next: null, isReadingMore: false };
const ROWS_HEIGHT = "480px";
const LIST_PAUSE = 10; // seconds

export const jobs = defineScreen({
  /** @returns {ListState<JobSummary>} */
  initial: () => ({ ...NO_ROWS }),
  /** @param {Context<ListState<JobSummary>>} context */
  load: (context) => {
    const status = context.route.query.get("status");
    return followList(context, `/v1/jobs?limit=50${status ? `&status=${status}` : ""}`, "jobs");
  },
  /** @param {Context<ListState<JobSummary>>} context */
  actions: (context) => ({
    more: () => readMore(context, "jobs"),
    /** @param {string} status */
    filter: (status) => context.go(status ? `/jobs?status=${status}` : "/jobs"),
  }),
  view: (state, act) =>
    h("s-page", { heading: text("nav.jobs") },
      makeButton(),
      statusBanner(state, "list.failed"),
      h("s-section", { heading: text("list.newest") },
        h("s-stack", { gap: "base" },
          statusFilter(state.route.query.get("status") ?? "", act.filter),
          state.rows?.length === 0 ? nothing("jobs.none", "jobs.none.details")
            : table(state, act.more,
              ["list.product", "list.workflow", "list.created", "list.status"], (job) => {
                const kind = workflowName(job.job_type);
                return [
                  h("s-link", { href: `/jobs/${job.public_id}` }, job.product_title ?? kind),
                  kind,
                  moment(job.created_at),
                  statusBadge(job.status),
                ];
              })))),
});

export const batches = defineScreen({
  /** @returns {ListState<BatchResponse>} */
  initial: () => ({ ...NO_ROWS }),
  /** @param {Context<ListState<BatchResponse>>} context */
  load: (context) => followList(context, "/v1/batches?limit=20", "batches"),
  /** @param {Context<ListState<BatchResponse>>} context */
  actions: (context) => ({ more: () => readMore(context, "batches") }),
  view: (state, act) =>
    h("s-page", { heading: text("nav.batches") },
      makeButton(),
      statusBanner(state, "list.failed"),
      h("s-section", { heading: text("list.newest") },
        state.rows?.length === 0 ? nothing("batches.none", "batches.none.details")
          : table(state, act.more,
            ["list.workflow", "list.created", "list.status", "list.done"], (batch) => [
              h("s-link", { href: `/batches/${batch.public_id}` }, workflowName(batch.workflow)),
              moment(batch.created_at),
              statusBadge(batch.status),
              text("batch.done", doneOf(batch)),
            ]))),
});

export const batch = defineScreen({
  /** @returns {BatchState} */
  initial: () => ({ ...NO_ROWS, batch: null, status: "", isBusy: false }),
  load: followBatch,
  actions: batchActions,
  view: batchView,
});

/**
 * Read the first page until all on it are finished. What was read after it stays, unless rows are
 * missing between the two: so many are new.
 * @template {{ public_id: string, status: string }} Row
 * @param {Context<ListState<Row>>} context
 * @param {string} path
 * @param {string} name Of the rows in the body.
 */
async function followList(context, path, name) {
  const { set, state } = context;
  await poll(context, path, {
    seconds: LIST_PAUSE,
    onBody(/** @type {Record<string, Row[]>} */ body, headers) {
      const found = body[name] ?? [];
      const next = nextPage(headers);
      const last = found.at(-1)?.public_id ?? "";
      const shown = state().rows ?? [];
      const isWhole = next !== null && last <= (shown[0]?.public_id ?? "");
      const older = isWhole ? shown.filter(({ public_id: id }) => id < last) : [];
      set({ rows: [...found, ...older], next: older.length ? state().next : next });
      return found.some(({ status }) => UNFINISHED.includes(status));
    },
  });
}

/**
 * @template Row
 * @param {Context<ListState<Row>>} context
 * @param {string} name
 * @returns {Promise<void>}
 */
async function readMore(context, name) {
  const { answer, set, state } = context;
  const { next, rows } = state();
  if (!next) return;
  set({ isReadingMore: true });
  try {
    const { body, headers } = await answer(next);
    if (state().rows !== rows) return await readMore(context, name); // read anew meanwhile
    set({ rows: [...(rows ?? []), ...body[name]], next: nextPage(headers) });
  } finally {
    set({ isReadingMore: false });
  }
}

/** Read the batch until it is finished, and its items whenever their counts change. */
/** @param {Context<BatchState>} context */
async function followBatch(context) {
  const { set, state, route } = context;
  let before = ""; // the counts that the items were read with
  await poll(context, `/v1/batches/${route.id}`, {
    seconds: 10,
    async onBody(/** @type {BatchResponse} */ found) {
      set({ batch: found });
      const counts = JSON.stringify(found.counts);
      if (counts !== before || !state().rows) await readItems(context);
      before = counts;
      return UNFINISHED.includes(found.status);
    },
  });
}

/** Read the batch's products, as many as are shown. */
/** @param {Context<BatchState>} context @returns {Promise<unknown>} */
async function readItems(context) {
  const { answer, route, set, state } = context;
  const { rows: shown, status } = state();
  const count = shown?.length ?? 0;
  const limit = Math.min(Math.max(count, 50), 200); // the API's most
  /** @type {BatchItemResponse[]} */
  const rows = [];
  /** @type {string | null} */
  let next = `/v1/batches/${route.id}/items?limit=${limit}${status && `&status=${status}`}`;
  do {
    const { body, headers } = await answer(next);
    rows.push(...body.items);
    next = nextPage(headers);
  } while (next && rows.length < count);
  if (state().status !== status) return; // others are wanted by now
  if (state().rows !== shown) return readItems(context); // there are more by now
  set({ rows, next });
}

/** @param {Context<BatchState>} context */
function batchActions(context) {
  return {
    more: () => readMore(context, "items"),
    /** @param {string} status */
    filter(status) {
      context.set({ ...NO_ROWS, status });
      return readItems(context);
    },
    retry: () => change(context, "retry"),
    cancel: () => change(context, "cancel"),
  };
}

/** @param {Context<BatchState>} context @param {"retry" | "cancel"} what */
async function change({ route, set, reload }, what) {
  set({ isBusy: true });
  try {
    set({ batch: await call("POST", `/v1/batches/${route.id}/${what}`) });
    reload();
  } finally {
    set({ isBusy: false });
  }
}

/** @param {CommonState & BatchState} state @param {ReturnType<typeof batchActions>} act */
function batchView(state, act) {
  const { batch: found, isBusy } = state;
  const failed = found ? countsOf(found).failed : 0;
  const isRunning = found !== null && UNFINISHED.includes(found.status);
  return h("s-page", { heading: found ? workflowName(found.workflow) : text("batch.heading") },
    h("s-link", { slot: "breadcrumb-actions", href: "/batches" }, text("nav.batches")),
    isRunning && h("s-button", { slot: "secondary-actions", commandFor: "cancel",
      command: "--show", loading: isBusy }, text("batch.cancel")),
    !isRunning && failed > 0 && h("s-button", { slot: "primary-action", variant: "primary",
      loading: isBusy, onClick: act.retry }, text("batch.retry", { count: failed })),
    statusBanner(state, "batch.failed"),
    found?.error && h("s-banner", { tone: "critical", heading: text("batch.incomplete") },
      h("s-paragraph", null, failureText(found.error))),
    isRunning && found.waiting_for === "credits" &&
      h("s-banner", { tone: "warning", heading: text("batch.waiting") },
        h("s-paragraph", null, text("batch.waiting.details")),
        buyButton("secondary-actions")),
    found ? progress(found) : skeletonCards({ count: 1, height: "120px" }),
    h("s-section", { heading: text("batch.products") },
      h("s-stack", { gap: "base" },
        statusFilter(state.status, act.filter),
        state.rows?.length === 0
          ? h("s-paragraph", { color: "subdued" }, text("batch.noItems"))
          : table(state, act.more, ["list.product", "list.status", "list.result"], itemCells))),
    cancelModal(found, act.cancel));
}

/** @param {BatchResponse} batch */
function progress(batch) {
  const counts = countsOf(batch);
  const values = doneOf(batch);
  return h("s-section", { heading: text("batch.progress") },
    h("s-stack", { gap: "small" },
      h("s-stack", { direction: "inline", gap: "small", alignItems: "center" },
        statusBadge(batch.status), h("s-text", null, text("batch.done", values))),
      h("s-progress", { value: values.done, max: Math.max(values.total, 1),
        accessibilityLabel: text("batch.done", values) }),
      h("s-paragraph", { color: "subdued" }, text("batch.counts", {
        succeeded: counts.succeeded, failed: counts.failed,
        running: counts.in_progress, waiting: counts.not_started })),
      batch.status === "EXPANDING" && batch.collection_id &&
        h("s-paragraph", { color: "subdued" }, text("batch.expanding"))));
}

/** @param {BatchResponse} batch */
function doneOf(batch) {
  const { total, succeeded, failed } = countsOf(batch);
  return { done: succeeded + failed, total };
}

/** They are always there: only requests could leave them out. @param {BatchResponse} batch */
const countsOf = ({ counts }) => /** @type {Required<BatchResponse["counts"]>} */ (counts);

/** @param {BatchItemResponse} item @returns {ComponentChildren[]} */
function itemCells({ product_id: gid, product_title: title, job_id: job, status, error }) {
  const id = gid.split("/").at(-1) ?? "";
  const unread = status === "FAILURE" ? "batch.productUnknown" : "batch.product";
  const product = title ?? text(unread, { id });
  return [
    h("s-link", { href: `shopify://admin/products/${id}` }, product),
    statusBadge(status),
    h("s-stack", { gap: "small-400" },
      error && h("s-text", { tone: "critical" }, failureText(error)),
      job && h("s-link", { href: `/jobs/${job}`,
        accessibilityLabel: text("batch.openJob", { product }) }, text("batch.open"))),
  ];
}

/** @param {BatchResponse | null} found @param {() => unknown} cancel */
function cancelModal(found, cancel) {
  const counts = found && countsOf(found);
  const left = counts ? counts.not_started + counts.in_progress : 0;
  return h("s-modal", { id: "cancel", heading: text("batch.cancelHeading") },
    h("s-paragraph", null, text("batch.cancelDetails", { count: left })),
    h("s-button", { slot: "primary-action", variant: "primary", tone: "critical",
      commandFor: "cancel", command: "--hide", onClick: cancel }, text("batch.cancel")),
    h("s-button", { slot: "secondary-actions", commandFor: "cancel", command: "--hide" },
      text("batch.keep")));
}

/** @param {string} value @param {(status: string) => unknown} filter */
const statusFilter = (value, filter) =>
  h("s-select", { label: text("list.status"), value,
    onChange: (event) => filter(event.currentTarget.value) },
    h("s-option", { value: "" }, text("list.all")),
    STATUSES.map((each) => h("s-option", { key: each, value: each }, text(`status.${each}`))));

/**
 * @template {{ public_id?: string, product_id?: string }} Row
 * @param {ListState<Row>} state
 * @param {() => unknown} more
 * @param {WordKey[]} headings
 * @param {(row: Row) => ComponentChildren[]} cellsOf
 */
function table({ rows, next, isReadingMore }, more, headings, cellsOf) {
  if (!rows) return skeletonCards({ count: 1, height: ROWS_HEIGHT });
  return h("s-stack", { gap: "base" },
    h("s-table", null,
      h("s-table-header-row", null, headings.map((heading, i) =>
        h("s-table-header", { key: heading, listSlot: i ? "labeled" : "primary" }, text(heading)))),
      h("s-table-body", null, rows.map((row) =>
        h("s-table-row", { key: row.public_id ?? row.product_id ?? "" },
          cellsOf(row).map((cell, i) => h("s-table-cell", { key: i }, cell)))))),
    next && h("s-stack", { alignItems: "center" },
      h("s-button", { loading: isReadingMore, onClick: more }, text("list.more"))));
}

/** @param {WordKey} heading @param {WordKey} details */
const nothing = (heading, details) =>
  h("s-empty-state", { heading: text(heading) },
    h("s-text", { slot: "subheading" }, text(details)), makeButton());
