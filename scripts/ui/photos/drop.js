// Sends dropped or chosen files one after the other; names are sent as text.
export default {
  props: { address: String, most: Number, mostBytes: Number },
  emits: ["done"],
  data() {
    return { over: false, busy: false };
  },
  methods: {
    async send(files) {
      if (this.busy || !files.length) return;
      this.busy = true;
      for (const [index, [file, name]] of files.slice(0, this.most).entries()) {
        const query = new URLSearchParams({ name, size: file.size });
        if (index === 0) query.set("first", "1");
        const body = file.size > this.mostBytes ? "" : file;
        try {
          await fetch(`${this.address}?${query}`, { method: "POST", body });
        } catch (error) {
          // The server refused it before the end, and has its message.
        }
      }
      this.busy = false;
      this.$emit("done", { count: files.length });
    },
    chosen(event) {
      const files = [...event.target.files].map((file) => [file, file.webkitRelativePath || file.name]);
      // A folder comes in any order.
      files.sort(([a], [b]) => a.webkitRelativePath.localeCompare(b.webkitRelativePath, undefined, { numeric: true }));
      this.send(files);
      event.target.value = "";
    },
    async dropped(event) {
      this.over = false;
      const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
      const found = [];
      for (const entry of entries) await this.walk(entry, found);
      this.send(found);
    },
    async walk(entry, found) {
      if (found.length > this.most || entry.name.startsWith(".")) return;
      if (entry.isFile) {
        const file = await new Promise((done) => entry.file(done, () => done(null)));
        if (file) found.push([file, entry.fullPath.replace(/^\//, "")]);
        return;
      }
      const reader = entry.createReader();
      const read = () => new Promise((done) => reader.readEntries(done, () => done([])));
      for (let some = await read(); some.length && found.length <= this.most; some = await read()) {
        some.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
        for (const one of some) await this.walk(one, found);
      }
    },
  },
  template: `
    <div class="drop" :class="{ over }" role="group" aria-label="Photos to classify" @dragover.prevent="over = true"
         @dragleave="over = false" @drop.prevent="dropped">
      <p>{{ busy ? "Sending to this machine…" : "Drop photos or a folder here" }}</p>
      <button type="button" class="plain" :disabled="busy" @click="$refs.files.click()">Choose photos</button>
      <button type="button" class="plain" :disabled="busy" @click="$refs.folder.click()">Choose a folder</button>
      <input ref="files" type="file" multiple hidden accept="image/*" @change="chosen" aria-label="Photos">
      <input ref="folder" type="file" webkitdirectory hidden @change="chosen" aria-label="A folder of photos">
    </div>`,
};
