import { expect, it } from 'vitest';
import { parseHardware, temperatureText, wearText } from './node-hardware.ts';

it('shows what a node tells of its body', () => {
  const hardware = parseHardware('# TYPE cleat_node_temperature_celsius gauge\ncleat_node_temperature_celsius 61.3\ncleat_node_throttled 327685\ncleat_node_disk_worn_ratio{device="mmcblk0"} 0.3\n');
  expect(hardware).toEqual({ celsius: 61.3, throttled: 0x50005, disk: { device: 'mmcblk0', wornPercent: 30 } });
  expect([temperatureText(hardware), wearText(hardware)]).toEqual(['61C,under-voltage,throttled', '30%']);
});

it('says nothing of what it does not tell', () => {
  expect(parseHardware('# HELP cleat_node_throttled x\nkubelet_running_pods 2\ncleat_node_temperature_celsius NaN\n')).toEqual({});
  expect([temperatureText({}), wearText({}), temperatureText({ throttled: 0x50000 }), wearText({ disk: { device: 'mmcblk0', wornPercent: 110 } })]).toEqual(['-', '-', '-', '>100%']);
});
