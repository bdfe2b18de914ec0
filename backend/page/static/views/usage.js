// The usage of the last days: credits by day as stacked bars, and the same numbers as tables.
import { h } from "../elements.js";
import { workflowName } from "../states.js";
import { calendarDay, number, text } from "../words.js";
import "../words/plan.js";

/** @import { UsageOfADay } from "atelier-api" */
/** @import { WordKey } from "../words.js" */

export const DAYS = 30;
const HEIGHT = 160; // px; the numbers of the axis stay as large in a narrow window
const AXIS = 40; // px on the left, for the numbers
const TOP = 12;
const BOTTOM = 24;
const DAY = 86_400_000; // ms
// Each has a contrast of at least 3 with white, and they differ in lightness, too.
const COLOURS = ["#123a73", "#c96a06", "#11857b", "#a25ddc"];
const OTHER_COLOUR = "#5c5f62";

/**
 * The section, with usage by day (UTC) and workflow.
 * @param {UsageOfADay[]} usage
 * @param {Date} [today]
 */
export function usageSection(usage, today = new Date()) {
  const names = [...new Set(usage.map(({ workflow }) => workflow))].sort();
  return h("s-section", { key: "usage", heading: text("usage.heading") },
    names.length === 0
      ? h("s-paragraph", { color: "subdued" }, text("usage.none"))
      : h("s-stack", { gap: "base" },
        plot(usage, names, daysUntil(today)),
        totals(usage, names),
        h("s-box", { accessibilityVisibility: "exclusive", accessibilityRole: "region",
          accessibilityLabel: text("usage.table") }, byDay(usage))));
}

/** The last days, the oldest first, as the API writes them. @param {Date} today */
function daysUntil(today) {
  const since = today.getTime() - (DAYS - 1) * DAY;
  return Array.from({ length: DAYS }, (_, i) =>
    new Date(since + i * DAY).toISOString().slice(0, 10));
}

/** @param {UsageOfADay[]} usage @param {string[]} names @param {string[]} days */
function plot(usage, names, days) {
  const credits = days.map((day) => sum(usage.filter((each) => each.day === day)));
  const peak = Math.max(...credits);
  const top = niceMaximum(peak);
  const label = text("usage.chart", { total: number(sum(usage)),
    most: number(peak), day: calendarDay(days[credits.indexOf(peak)] ?? "") });
  const style = { display: "grid", gridTemplateColumns: `${AXIS}px minmax(0, 1fr)` };
  return h("div", { role: "img", "aria-label": label, style },
    h("svg", { "aria-hidden": "true", width: AXIS, height: HEIGHT }, axisNumbers(top)),
    // Places across are percentages, so that texts keep their size in a window of any width.
    h("svg", { "aria-hidden": "true", width: "100%", height: HEIGHT },
      gridLines(top),
      days.map((day, i) => bar(usage.filter((each) => each.day === day), names, i, top)),
      dayLabels(days)));
}

/** @param {UsageOfADay[]} usage */
const sum = (usage) => usage.reduce((total, { credits }) => total + credits, 0);

/** A round number that is not below, and even: half of it is on the axis. @param {number} peak */
function niceMaximum(peak) {
  const power = 10 ** Math.floor(Math.log10(Math.max(peak, 2)));
  return [2, 4, 6, 10, 20].map((times) => times * power).find((each) => each >= peak) ?? peak;
}

/** The y of a number of credits. @param {number} credits @param {number} top */
const yOf = (credits, top) => HEIGHT - BOTTOM - (credits / top) * (HEIGHT - BOTTOM - TOP);

/** @param {number} top */
const axisNumbers = (top) =>
  [0, top / 2, top].map((credits) =>
    axisText(number(credits), { x: AXIS - 6, y: yOf(credits, top) + 4, textAnchor: "end" }));

/** @param {number} top */
const gridLines = (top) =>
  [0, top / 2, top].map((credits) => {
    const y = yOf(credits, top);
    return h("line", { key: credits, x1: 0, x2: "100%", y1: y, y2: y, stroke: "#e3e3e3" });
  });

/** @param {string} words @param {{ x: number | string, y: number, textAnchor: string }} place */
const axisText = (words, { x, y, textAnchor }) =>
  h("text", { x, y, "text-anchor": textAnchor, "font-size": 11, fill: "#616161",
    "font-family": "Inter, system-ui, sans-serif" }, words);

/**
 * One day's bar; its parts are a pixel apart.
 * @param {UsageOfADay[]} usage
 * @param {string[]} names
 * @param {number} index
 * @param {number} top
 */
function bar(usage, names, index, top) {
  let below = 0;
  return names.flatMap((name) => {
    const found = usage.find(({ workflow }) => workflow === name);
    if (!found?.credits) return [];
    const y = yOf(below += found.credits, top);
    const height = yOf(below - found.credits, top) - y;
    const title = text("usage.bar", { day: calendarDay(found.day), workflow: workflowName(name),
      credits: text("make.credits", { count: found.credits }) });
    return h("rect", { key: found.day + name, fill: colourOf(name, names),
      x: `${((index + 0.15) / DAYS) * 100}%`, width: `${70 / DAYS}%`,
      y, height: Math.max(height - 1, 1) }, h("title", null, title));
  });
}

/** @param {string[]} days */
const dayLabels = (days) =>
  /** @type {[number, string, string][]} */ ([[0, "0%", "start"], [DAYS - 1, "100%", "end"]])
    .map(([index, x, textAnchor]) =>
      axisText(calendarDay(days[index] ?? ""), { x, y: HEIGHT - 6, textAnchor }));

/** @param {string} name @param {string[]} names */
const colourOf = (name, names) => COLOURS[names.indexOf(name)] ?? OTHER_COLOUR;

/** Each workflow's sums, with the colour of its bars. */
/** @param {UsageOfADay[]} usage @param {string[]} names */
const totals = (usage, names) =>
  table(["list.workflow", "usage.jobs", "usage.credits"], names.map((name) => {
    const own = usage.filter(({ workflow }) => workflow === name);
    const jobs = own.reduce((total, each) => total + each.jobs, 0);
    return [
      h("s-stack", { direction: "inline", gap: "small-200", alignItems: "center" },
        h("svg", { "aria-hidden": "true", width: 12, height: 12 },
          h("rect", { width: 12, height: 12, rx: 2, fill: colourOf(name, names) })),
        h("s-text", null, workflowName(name))),
      number(jobs),
      number(sum(own)),
    ];
  }));

/** For whom the bars say nothing. @param {UsageOfADay[]} usage */
const byDay = (usage) =>
  table(["usage.day", "list.workflow", "usage.jobs", "usage.credits"],
    usage.map(({ day, workflow, jobs, credits }) =>
      [calendarDay(day), workflowName(workflow), number(jobs), number(credits)]));

/** @param {WordKey[]} headings @param {import("preact").ComponentChildren[][]} rows */
const table = (headings, rows) =>
  h("s-table", null,
    h("s-table-header-row", null, headings.map((heading, i) =>
      h("s-table-header", { key: heading, listSlot: i ? "labeled" : "primary",
        ...(heading === "usage.jobs" || heading === "usage.credits" ? { format: "numeric" } : {}) },
        text(heading)))),
    h("s-table-body", null, rows.map((cells, i) =>
      h("s-table-row", { key: i }, cells.map((cell, j) => h("s-table-cell", { key: j }, cell))))));
