# Keeps one cluster's processes, and ends them when whoever asked for them is gone.
#
#   bash guardian.sh FOLDER remove|keep
#
# Commands come on standard input, one a line, and each gets one line of answer:
#   start NAME            runs the words of FOLDER/run/NAME (NUL-separated); answers the process id
#   stop NAME SECONDS     ends it, gently for that long; answers "stopped"
#   alive NAME            answers "yes", or "no" and the exit status
# At the end of standard input (the other side closed it, panicked, or was killed: the kernel closes
# a dead process's pipes) everything is ended, and with `remove` the folder goes too.
set -u
folder=$1
afterwards=$2
cd "$folder" || exit 1

# A terminal's Ctrl-C is for the owner, and an answer nobody reads must not end the guardian. Traps,
# unlike ignored signals, are not handed on to the processes started here.
trap : INT TERM HUP QUIT PIPE

# The processes inherit the lock, so a folder stays taken until the last of them is gone.
exec 9>"$folder/lock"
if ! flock --wait 20 9; then
	echo busy
	exit 1
fi
echo ready

declare -A process
order=()

stop() {
	local id=${process[$1]:-}
	[[ -n $id ]] || return 0
	unset "process[$1]"
	if (($2 > 0)); then
		kill -TERM "$id" 2>/dev/null
		local deadline=$((SECONDS + $2))
		while kill -0 "$id" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.02; done
	fi
	kill -KILL "$id" 2>/dev/null
	wait "$id" 2>/dev/null
}

start() {
	local words
	mapfile -d '' -t words <"$folder/run/$1"
	"${words[@]}" </dev/null >>"$folder/logs/$1.log" 2>&1 &
	process[$1]=$!
	order=("$1" "${order[@]}")
	echo "$!"
}

alive() {
	local id=${process[$1]:-}
	if [[ -z $id ]]; then
		echo "no, it was not started"
	elif kill -0 "$id" 2>/dev/null; then
		echo yes
	else
		wait "$id" 2>/dev/null
		echo "no, it ended with status $?"
	fi
}

while IFS=' ' read -r verb name seconds; do
	case $verb in
	start) start "$name" ;;
	stop)
		stop "$name" "$seconds"
		echo stopped
		;;
	alive) alive "$name" ;;
	*) echo "no such command" ;;
	esac
done

if [[ $afterwards == keep ]]; then
	# Last started, first ended: the API server drains while etcd still answers.
	for name in "${order[@]}"; do stop "$name" 10; done
else
	kill -KILL "${process[@]}" 2>/dev/null
	wait
	cd /
	[[ -e $folder/temporary ]] && rm -rf -- "$folder"
fi
exit 0
