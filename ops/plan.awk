# Compares the profile with this host: awk -f plan.awk sysctl/90-breadbox.conf limits/90-breadbox.conf HOST'S-LIMITS-FILES...
# prints for each key
#   verdict|key|now|wanted
#   verdict: ok, differs, absent (this kernel has no such key), unsafe (off without unsafe=1), low here (the
#   open-file limit of this process, which only its start can change), at login (the same, and the host's limits files have it)
# "now" is what the kernel gives, to the byte. "wanted" is what this host should have: the profile's value merged with what
# it has already, so that nothing which is further in the right direction is taken back.
# Values stay strings, since fs.file-max is often 2^63 - 1 and awk's numbers are exact to 2^53 only. That is enough to compare
# them with the profile's, which are all below it.
#
# Variables: unsafe (0 or 1); uid; limits=1 prints instead the lines of a limits.d file for this host.

# Is a lower than b? A word, such as "unlimited", is higher than any number.
function lower(a, b) {
  if (b !~ /^[0-9]+$/) return a ~ /^[0-9]+$/
  if (a !~ /^[0-9]+$/) return 0
  return a + 0 < b + 0
}

function highest(a, b) { return lower(a, b) ? b : a }
function lowest(a, b) { return lower(b, a) ? b : a }

# Field by field; one that the host lacks is the profile's.
function merge_fields(now, want, rule,    have, wish, count, i, down, merged) {
  split(now, have, " ")
  count = split(want, wish, " ")
  for (i = 1; i <= count; i++) {
    down = rule == "at most" || (rule == "range" && i == 1)
    if (have[i] == "") have[i] = wish[i]
    merged = merged (i > 1 ? " " : "") (down ? lowest(have[i], wish[i]) : highest(have[i], wish[i]))
  }
  return merged
}

# Both sets of bits; the masks are small numbers.
function merge_bits(now, want,    merged, bit) {
  for (bit = 1; bit <= now || bit <= want; bit *= 2)
    if (int(now / bit) % 2 || int(want / bit) % 2) merged += bit
  return merged + 0
}

function covers(list, port,    ranges, count, i, ends) {
  count = split(list, ranges, ",")
  for (i = 1; i <= count; i++) {
    if (split(ranges[i], ends, "-") < 2) ends[2] = ends[1]
    if (ends[1] + 0 <= port + 0 && port + 0 <= ends[2] + 0) return 1
  }
  return 0
}

function merge_ports(now, want,    ports, count, i) {
  count = split(want, ports, ",")
  for (i = 1; i <= count; i++)
    if (!covers(now, ports[i])) now = now (now == "" ? "" : ",") ports[i]
  return now
}

function merge(rule, now, want) {
  if (rule == "exactly") return want
  if (rule == "bits") return merge_bits(now, want)
  if (rule == "ports") return merge_ports(now, want)
  if (rule ~ /^(at least|at most|range)$/) return merge_fields(now, want, rule)
  print FILENAME ": line " FNR ": a key needs a known rule in the comment above it" >"/dev/stderr"
  exit broken = 2
}

# The value of a key in this kernel; sets missing.
function current(key,    path, line, value) {
  path = key
  gsub(/\./, "/", path)
  path = "/proc/sys/" path
  line = ""
  missing = (getline line < path) < 0
  value = missing ? "" : line
  close(path)
  return value
}

function setting(line, off,    key, want, now, flat, merged) {
  key = want = line
  sub(/ *=.*/, "", key)
  sub(/[^=]*= */, "", want)
  now = current(key)
  if (missing) return print_row("absent", key, "", want)
  flat = now
  gsub(/[ \t]+/, " ", flat)
  merged = merge(rule, flat, want)
  if (off && !unsafe) return print_row("unsafe", key, now, merged)
  print_row((merged "") == flat ? "ok" : "differs", key, now, merged)
}

function print_row(verdict, key, now, want) {
  if (!limits) print verdict "|" key "|" now "|" want
}

# This process has the limits of the shell that started it.
function read_own_limits(    line, fields) {
  while ((getline line < "/proc/self/limits") > 0)
    if (line ~ /^Max open files/) {
      split(line, fields, " ")
      own["soft"] = fields[4]
      own["hard"] = fields[5]
    }
}

BEGIN { read_own_limits() }

FNR == 1 { file++ }

file == 1 && /^# \[[a-z ]+\] / {
  rule = substr($0, 4, index($0, "]") - 4)
  next
}
file == 1 && /^(#unsafe )?[a-z].*=/ {
  off = sub(/^#unsafe /, "")
  setting($0, off)
  rule = ""
}

# Lines of limits files: domain, soft or hard or - for both, item, value. The last one counts.
file >= 2 && /^[ \t]*[^# \t]/ && $3 == "nofile" {
  if (file == 2) {
    order[++lines] = $1 " " $2
    wish[$1, $2] = $4
  } else {
    if ($2 != "hard") host[$1, "soft"] = $4
    if ($2 != "soft") host[$1, "hard"] = $4
  }
}

function limits_row(who,    now, merged, soft, hard, verdict) {
  now = own["soft"] " " own["hard"]
  merged = merge_fields(now, wish[who, "soft"] " " wish[who, "hard"], "at least")
  soft = (who, "soft") in host && !lower(host[who, "soft"], wish[who, "soft"])
  hard = (who, "hard") in host && !lower(host[who, "hard"], wish[who, "hard"])
  verdict = merged == now ? "ok" : soft && hard ? "at login" : "low here"
  print_row(verdict, "open files (soft, hard)", now, merged)
}

function limits_lines(    i, part, value) {
  for (i = 1; i <= lines; i++) {
    split(order[i], part, " ")
    value = highest(wish[part[1], part[2]], own[part[2]])
    if ((part[1], part[2]) in host) value = highest(value, host[part[1], part[2]])
    print part[1], part[2], "nofile", value
  }
}

END {
  if (broken) exit broken
  if (limits) limits_lines()
  else limits_row(uid == 0 ? "root" : "*")
}
