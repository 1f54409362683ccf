// A chart of Apache ECharts that follows light and dark, redraws on resize, and saves itself as PNG.
import { echarts } from "nicegui-echart";

const PALETTE = {
  light: ["#0b63ce", "#c2410c", "#047857", "#7c3aed", "#b45309", "#be185d", "#0e7490", "#4d7c0f"],
  dark: ["#60a5fa", "#fb923c", "#34d399", "#c4b5fd", "#fbbf24", "#f472b6", "#22d3ee", "#a3e635"],
};
// A set of photos has the same colour in each chart.
const SETS = ["train", "validation", "test"];
const COLOURS = {
  light: { text: "#334155", line: "#94a3b8", split: "#e2e8f0", back: "#ffffff" },
  dark: { text: "#cbd5e1", line: "#64748b", split: "#273244", back: "#151c27" },
};
const look = () => (document.body.classList.contains("body--dark") ? "dark" : "light");

for (const name of ["light", "dark"]) {
  const { text, line, split } = COLOURS[name];
  const axis = {
    axisLine: { lineStyle: { color: line } },
    axisTick: { lineStyle: { color: line } },
    axisLabel: { color: text },
    nameTextStyle: { color: text },
    splitLine: { lineStyle: { color: split } },
  };
  echarts.registerTheme(`kennel-${name}`, {
    color: PALETTE[name],
    backgroundColor: "transparent",
    textStyle: { color: text, fontFamily: "system-ui, sans-serif" },
    title: { textStyle: { color: text } },
    legend: { textStyle: { color: text }, pageTextStyle: { color: text } },
    valueAxis: axis, categoryAxis: axis, logAxis: axis, timeAxis: axis,
    parallel: { parallelAxisDefault: { axisLabel: { color: text }, nameTextStyle: { color: text } } },
    visualMap: { textStyle: { color: text } },
  });
}

export default {
  props: { options: Object, label: String },
  template: `<div role="img" :aria-label="label" class="chart"></div>`,
  mounted() {
    this.open();
    this.sized = new ResizeObserver(() => this.chart.resize());
    this.sized.observe(this.$el);
    this.themed = new MutationObserver(() => this.look !== look() && this.open());
    this.themed.observe(document.body, { attributes: true, attributeFilter: ["class"] });
  },
  beforeUnmount() {
    this.sized.disconnect();
    this.themed.disconnect();
    this.chart.dispose();
  },
  watch: {
    options: { deep: true, handler() { this.draw(); } },
  },
  methods: {
    open() {
      this.chart?.dispose();
      this.look = look();
      this.chart = echarts.init(this.$el, `kennel-${this.look}`, { renderer: "canvas" });
      this.draw();
    },
    draw() {
      const before = this.chart.getOption()?.series?.length;
      const series = this.options.series.map((one) => {
        const set = SETS.indexOf(String(one.name).split(":")[0]);
        return set < 0 ? one : { ...one, color: PALETTE[this.look][set] };
      });
      this.chart.setOption({ ...this.options, series }, { notMerge: before !== series.length });
      // How much is drawn, for who cannot see the canvas: the most points of a series.
      this.$el.dataset.points = Math.max(0, ...this.options.series.map((one) => one.data.length));
    },
    save(name) {
      const link = document.createElement("a");
      link.href = this.chart.getDataURL({ type: "png", pixelRatio: 2, backgroundColor: COLOURS[this.look].back });
      link.download = name;
      link.click();
    },
  },
};
