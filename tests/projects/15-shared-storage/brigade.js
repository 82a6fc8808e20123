// What one job writes to the shared storage, the next one reads.
const { events, Job, Group } = require("brigadier");

events.on("exec", () => {
  const writer = new Job("writer", "alpine:3.20", ["echo a letter > /mnt/brigade/share/letter"]);
  const reader = new Job("reader", "alpine:3.20", ["cat /mnt/brigade/share/letter"]);
  for (const job of [writer, reader]) job.storage.enabled = true;
  Group.runEach([writer, reader]);
});
