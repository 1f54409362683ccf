// A native table: columns sort by button, rows can be ticked. All cells are text.
export default {
  props: { columns: Array, rows: Array, caption: String, selectable: Boolean, ticked: Array, sorted: Object },
  emits: ["tick", "act"],
  data() {
    return { by: this.sorted?.by ?? null, down: this.sorted?.down ?? false };
  },
  computed: {
    ordered() {
      if (this.by === null) return this.rows;
      const key = (row) => row.cells[this.by].value ?? row.cells[this.by].text;
      const sign = this.down ? -1 : 1;
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        if (typeof x === "number" && typeof y === "number") return sign * (x - y);
        return sign * String(x).localeCompare(String(y), undefined, { numeric: true });
      };
      return [...this.rows].sort(compare);
    },
  },
  methods: {
    sort(index) {
      this.down = this.by === index ? !this.down : this.columns[index].numeric;
      this.by = index;
    },
    order(index) {
      return this.by !== index ? "none" : this.down ? "descending" : "ascending";
    },
    tick(key, event) {
      this.$emit("tick", { key, on: event.target.checked });
    },
  },
  template: `
    <div class="scroll" tabindex="0" role="region" :aria-label="caption">
      <table>
        <caption class="hidden">{{ caption }}</caption>
        <thead><tr>
          <td v-if="selectable"></td>
          <template v-for="(column, index) in columns">
          <td v-if="!column.title"></td>
          <th v-else scope="col" :class="{ number: column.numeric }" :aria-sort="order(index)">
            <button type="button" @click="sort(index)">{{ column.title
              }}<span aria-hidden="true" class="arrow">{{ by !== index ? "" : down ? "▼" : "▲" }}</span></button>
          </th>
          </template>
        </tr></thead>
        <tbody>
          <tr v-for="row in ordered" :key="row.key" :class="{ marked: row.marked }">
            <td v-if="selectable" class="box">
              <input v-if="row.tickable" type="checkbox" :checked="ticked.includes(row.key)" @change="tick(row.key, $event)"
                     :aria-label="'Compare ' + row.key">
            </td>
            <td v-for="(cell, index) in row.cells" :class="[{ number: columns[index].numeric, short: cell.text.length < 28 }, cell.tone]">
              <a v-if="cell.href" :href="cell.href">{{ cell.text }}</a>
              <button v-else-if="cell.action && cell.text" type="button" class="act" @click="$emit('act', { key: row.key })"
                      :aria-label="cell.text + ': ' + row.key">{{ cell.text }}</button>
              <template v-else>{{ cell.text }}</template>
            </td>
          </tr>
        </tbody>
      </table>
    </div>`,
};
