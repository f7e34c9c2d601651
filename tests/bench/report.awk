# What bench.sh prints of its results: lines of WORKLOAD CONTENDER RATE OPS
# CPU_SECONDS, and of extras.sh "recovery - MILLISECONDS" and "idle - WAKEUPS
# EXPECTED".
#
#	part=table     every workload and contender
#	part=targets   what is asked of tarn, and what was seen

# The middle one of all runs; low and high are set.
function median(key,	n, i, j, t, v) {
	n = split(values[key], v, " ")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) {
			t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
		}
	low = v[1]; high = v[n]
	return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}

function row(w, c, base, first,	key, m) {
	key = w SUBSEP c
	m = median(key)
	printf "%-22s %-13s %10.0f %7.0f%% %9s %12.2f\n",
		first ? title[w] : "", name[c], m,
		(m > 0 ? 100 * (high - low) / m : 0),
		(base > 0 ? sprintf("%.2f", m / base) : "-"),
		(ops[key] > 0 ? cpu[key] * 1e6 / ops[key] : 0)
}

function table(	nc, nw, c, w, i, j, base) {
	nc = split(contenders, c, " ")
	nw = split(workloads, w, " ")
	printf "\n%-22s %-13s %10s %8s %9s %12s\n", "workload", "contender",
		"median/s", "spread", "x qcow2", "CPU s/Mop"
	for (i = 1; i <= nw; i++) {
		if (w[i] == "seqread_frag")
			print "for information, of a volume that was" \
				" overwritten at random:"
		base = median(w[i] SUBSEP "qcow2")
		for (j = 1; j <= nc; j++)
			row(w[i], c[j], base, j == 1)
	}
}

function target(what, seen, want, met) {
	printf "%-44s %10s %12s  %s\n", what, seen, want, met
	if (met == "missed")
		missed++
}

function ratio(what, w, c, than, least, aim,	a, b, x) {
	a = median(w SUBSEP c)
	b = median(w SUBSEP than)
	if (a == 0 || b == 0) {
		target(what, "-", ">= " least, "not measured")
		return
	}
	x = a / b
	if (x < least)
		target(what, sprintf("%.2f", x), ">= " least, "missed")
	else if (x < aim)
		target(what, sprintf("%.2f", x), ">= " least,
			"met (aim: " aim ")")
	else
		target(what, sprintf("%.2f", x), ">= " least, "met")
}

function targets(	q, n, what) {
	printf "\n%-44s %10s %12s\n", "targets", "seen", "asked for"
	q = "tarn 1+1 : qcow2, "
	ratio(q "random write qd32", "randwrite32", "tarn11", "qcow2", 3.5, 6)
	ratio(q "random read qd32", "randread32", "tarn11", "qcow2", 2.5, 5)
	ratio(q "random write qd1", "randwrite1", "tarn11", "qcow2", 1, 1.2)
	ratio(q "write+fsync qd1", "writesync", "tarn11", "qcow2", 1, 1.2)
	ratio(q "sequential write", "seqwrite", "tarn11", "qcow2", 1.5, 1.5)
	ratio(q "sequential read", "seqread", "tarn11", "qcow2", 1.2, 1.2)
	ratio("tarn 2+1 : 1+1, random write qd32", "randwrite32", "tarn21",
		"tarn11", 0.7, 0.7)
	n = times["recovery"]
	what = "recovery of 256 MiB of log, worst of "
	if (n > 0)
		target(what n, sprintf("%.2f s", worst["recovery"] / 1000),
			"< 2 s", (worst["recovery"] < 2000 ? "met" : "missed"))
	else
		target(what "3", "-", "< 2 s", "not measured")
	what = "idle for 10 s, wake-ups"
	if (times["idle"] > 0)
		target(what, worst["idle"], "<= " expected,
			(worst["idle"] <= expected ? "met" : "missed"))
	else
		target(what, "-", "heartbeat", "not measured")
	if (settings != "default settings")
		print "(tarnd's memory: " settings "; the targets are asked" \
			" of its defaults)"
	if (runs < 5)
		print "(" runs " runs: the targets are asked of the medians" \
			" of 5)"
	if (missed > 0)
		print missed " missed"
}

$2 == "-" {
	times[$1]++
	if ($3 + 0 > worst[$1] + 0)
		worst[$1] = $3
	expected = $1 == "idle" ? $4 : expected
	next
}
{
	values[$1, $2] = values[$1, $2] " " $3
	ops[$1, $2] += $4
	cpu[$1, $2] += $5
}

END {
	title["randread1"] = "random read 4K qd1"
	title["randread32"] = "random read 4K qd32"
	title["randwrite1"] = "random write 4K qd1"
	title["randwrite32"] = "random write 4K qd32"
	title["writesync"] = "write+fsync 4K qd1"
	title["seqread"] = "read 1M qd8 (MiB/s)"
	title["seqwrite"] = "write 1M qd8 (MiB/s)"
	title["seqread_frag"] = "read 1M qd8 (MiB/s)"
	name["tarn11"] = "tarn 1+1"
	name["tarn21"] = "tarn 2+1"
	name["qcow2"] = "qcow2/quorum"
	name["raw"] = "raw disk"
	if (part == "table")
		table()
	else
		targets()
}
