"""From what an operator writes to a frozen Config.

units   sizes and durations with their units, read and written
values  one value as written (TOML or text) to the type of its option
source  file, environment and --set joined; unknown keys refused; `load`
checks  what no single option can tell: tokens, names, mounts, addresses
sample  configs/edge.toml, made from the schema"""
