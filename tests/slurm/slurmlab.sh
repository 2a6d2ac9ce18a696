#!/bin/bash
# A throw-away SLURM cluster on one Linux host, from distribution packages, without systemd.
#
#   slurmlab.sh start | stop | status | crash nodeN | revive nodeN
#
# Nodes, CPUs, memory and GPUs are as declared, not as they are: sbatch's options can be tried, speed cannot. All nodes
# share the host's file systems. `crash` is a loss of power: the others hear nothing more of the node.
# A client needs nothing but SLURM_CONF=$SLURMLAB_DIR/slurm.conf.
#
# Settings (environment):
#   SLURMLAB_DIR    run directory (conf, state, logs, pids)      default ${TMPDIR:-/tmp}/slurmlab/run
#                   short (munge's socket: 108 bytes in all), and every folder above it open to all
#   SLURMLAB_MODE   ns    = each node in its own net+uts+pid+mount namespace (root only)
#                   plain = several slurmd on one host, told apart by port (any user)
#   SLURMLAB_NODES  number of nodes                              default 2
#   SLURMLAB_CPUS   CPUs declared per node (may exceed the real) default 8
#   SLURMLAB_MEM    MiB of memory declared per node (the same)    default 8000
#   SLURMLAB_GPUS   fake GPUs declared per node                  default 2
#   SLURMLAB_ACCT   1 = slurmdbd + a private MariaDB             default 1
#   SLURMLAB_NET    first three numbers of the ns network        default 10.199.0
#   SLURMLAB_IF     prefix of the ns network's interface names   default slab
#   SLURMLAB_PORT   slurmctld's port (the next ones: slurmd; the two before: slurmdbd, MariaDB)  default 16817
#   SLURMLAB_DOWN   seconds of silence after which a node is down (SlurmdTimeout)                default 60
#   SLURMLAB_OWNER  process whose end stops the cluster, whatever ended it; default: nobody, stop it yourself
set -Eeuo pipefail
DIR=${SLURMLAB_DIR:-${TMPDIR:-/tmp}/slurmlab/run}
# what the running cluster was started with wins
[ ! -e "$DIR/settings" ] || . "$DIR/settings"
MODE=${SLURMLAB_MODE:-ns}
NODES=${SLURMLAB_NODES:-2}
CPUS=${SLURMLAB_CPUS:-8}
MEM=${SLURMLAB_MEM:-8000}
GPUS=${SLURMLAB_GPUS:-2}
ACCT=${SLURMLAB_ACCT:-1}
NET=${SLURMLAB_NET:-10.199.0}          # /24 used by mode ns, never routed anywhere
PORT0=${SLURMLAB_PORT:-16817}          # slurmctld; slurmd PORT0+1..; slurmdbd PORT0-1; mariadb PORT0-2
IF=${SLURMLAB_IF:-slab}
DOWN=${SLURMLAB_DOWN:-60}
OWNER=${SLURMLAB_OWNER:-}
export SLURM_CONF=$DIR/slurm.conf
ME=$(id -un)
HOST=$(hostname -s)

now() { date +%s.%N; }
say() { printf '[slurmlab %6.2fs] %s\n' "$(echo "$(now) $T0" | awk '{print $1-$2}')" "$*"; }
wait_for() { # seconds, message, command...
  local end=$(( $(date +%s) + $1 )) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -le "$end" ] || { echo "slurmlab: gave up waiting for $what" >&2; return 1; }
    sleep 0.05
  done
}
alive() { local s; s=$(awk '{print $3}' "/proc/$1/stat" 2>/dev/null) && [ "$s" != Z ]; }
stop_pid() { # name of pid file (without .pid), grace seconds
  local f=$DIR/pids/$1.pid p end
  [ -s "$f" ] || return 0
  p=$(cat "$f"); end=$(( $(date +%s) + $2 ))
  if alive "$p"; then
    kill -TERM "$p" 2>/dev/null || true
    while alive "$p" && [ "$(date +%s)" -le "$end" ]; do sleep 0.05; done
    if alive "$p"; then echo "slurmlab: $1 ($p) needed SIGKILL" >&2; kill -KILL "$p" 2>/dev/null || true; fi
  fi
  rm -f "$f"
}
spawn() { # name, command...: a child in its own session, pid recorded, output to log/NAME.out
  local n=$1; shift
  setsid "$@" >"$DIR/log/$n.out" 2>&1 </dev/null &
  echo $! >"$DIR/pids/$n.pid"
}

addr() { echo "$NET.$1"; }
ctl_addr() { if [ "$MODE" = ns ]; then echo "$NET.254"; else echo 127.0.0.1; fi; }

write_conf() {
  mkdir -p "$DIR"/{state,spool,log,pids,munge,dev,jobs}
  chmod 755 "$DIR" "$DIR/munge"   # munged refuses a socket in a directory others cannot enter
  printf 'SLURMLAB_%s\n' "MODE=$MODE" "NODES=$NODES" "CPUS=$CPUS" "MEM=$MEM" "GPUS=$GPUS" "ACCT=$ACCT" "NET=$NET" "IF=$IF" "PORT=$PORT0" "DOWN=$DOWN" >"$DIR/settings"
  head -c 1024 /dev/urandom >"$DIR/munge/munge.key"; chmod 400 "$DIR/munge/munge.key"

  cat >"$DIR/slurm.conf" <<EOF
ClusterName=lab
SlurmctldHost=$HOST($(ctl_addr))
SlurmctldPort=$PORT0
SlurmdPort=$((PORT0+1))
SlurmUser=$ME
SlurmdUser=$ME
AuthType=auth/munge
# cred_expire is also the pause before a requeued job may start again (default 120 s, least 5 s)
AuthInfo=socket=$DIR/munge/munge.socket,cred_expire=5
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool/%n
SlurmctldPidFile=$DIR/spool/slurmctld.pid
SlurmdPidFile=$DIR/spool/slurmd-%n.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd-%n.log
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# believe the CPUs/RealMemory below, not what the machine has
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=100000,batch_sched_delay=0
ReturnToService=2
# as on many clusters: only what asks for it (sbatch --requeue) comes back
JobRequeue=0
KillWait=10
OverTimeLimit=0
SlurmdTimeout=$DOWN
InactiveLimit=0
MinJobAge=300
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
EOF
  if [ "$ACCT" = 1 ]; then
    cat >>"$DIR/slurm.conf" <<EOF
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=$(ctl_addr)
AccountingStoragePort=$((PORT0-1))
# for slurmdbd the munge socket is given here, AuthInfo is not looked at
AccountingStoragePass=$DIR/munge/munge.socket
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=10
EOF
    cat >"$DIR/slurmdbd.conf" <<EOF
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/munge.socket
DbdHost=$HOST
DbdAddr=$(ctl_addr)
DbdPort=$((PORT0-1))
SlurmUser=$ME
LogFile=$DIR/log/slurmdbd.log
PidFile=$DIR/spool/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((PORT0-2))
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
EOF
    chmod 600 "$DIR/slurmdbd.conf"
  else
    echo "JobAcctGatherType=jobacct_gather/none" >>"$DIR/slurm.conf"
  fi
  echo "127.0.0.1 localhost" >"$DIR/hosts"
  local gres="" i
  if [ "$GPUS" -gt 0 ]; then
    echo "GresTypes=gpu" >>"$DIR/slurm.conf"; gres=" Gres=gpu:$GPUS"
    # a count alone is refused for gpu; every GPU needs a File that is a character device
    for ((i=0;i<GPUS;i++)); do ln -sfn /dev/null "$DIR/dev/nvidia$i"; done
    echo "NodeName=node[1-$NODES] Name=gpu File=$DIR/dev/nvidia[0-$((GPUS-1))]" >"$DIR/gres.conf"
    [ "$GPUS" -gt 1 ] || sed -i 's/nvidia\[0-0\]/nvidia0/' "$DIR/gres.conf"
  fi
  for ((i=1;i<=NODES;i++)); do
    mkdir -p "$DIR/spool/node$i"
    if [ "$MODE" = ns ]; then
      echo "NodeName=node$i NodeHostname=node$i NodeAddr=$(addr "$i") CPUs=$CPUS RealMemory=$MEM$gres State=UNKNOWN" >>"$DIR/slurm.conf"
      echo "$(addr "$i") node$i" >>"$DIR/hosts"
    else
      echo "NodeName=node$i NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORT0+i)) CPUs=$CPUS RealMemory=$MEM$gres State=UNKNOWN" >>"$DIR/slurm.conf"
    fi
  done
  [ "$MODE" = ns ] && echo "$NET.254 $HOST" >>"$DIR/hosts"
  cat >>"$DIR/slurm.conf" <<EOF
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 PriorityTier=1 PreemptMode=REQUEUE GraceTime=20 State=UP
PartitionName=urgent Nodes=ALL MaxTime=INFINITE DefaultTime=60 PriorityTier=10 PreemptMode=OFF State=UP
EOF
  echo "export SLURM_CONF=$DIR/slurm.conf" >"$DIR/env.sh"   # all a client needs
  cat >"$DIR/node-init.sh" <<'EOF'
#!/bin/bash
# pid 1 inside a node's namespaces: $1 run directory, $2 node name, $3 address
hostname "$2"
mount --bind "$1/hosts" /etc/hosts
ip link set lo up
for _ in {1..200}; do ip link show eth0 >/dev/null 2>&1 && break; sleep 0.02; done
ip addr add "$3/24" dev eth0; ip link set eth0 up
export SLURM_CONF=$1/slurm.conf
slurmd -D -f "$SLURM_CONF" -N "$2" &
trap 'kill -TERM %1' TERM
wait; wait
EOF
}

start_node() { # number
  local i=$1 p sw
  if [ "$MODE" = plain ]; then spawn "node$i" slurmd -D -f "$SLURM_CONF" -N "node$i"; return; fi
  sw=$(cat "$DIR/pids/switch.pid")
  spawn "node$i" unshare --net --uts --ipc --pid --fork --kill-child --mount-proc \
    bash "$DIR/node-init.sh" "$DIR" "node$i" "$(addr "$i")"
  p=$(cat "$DIR/pids/node$i.pid")
  wait_for 5 "namespace of node$i" test ! "/proc/$p/ns/net" -ef /proc/self/ns/net
  ip link add "$IF$i" type veth peer name "$IF${i}p"
  ip link set "$IF$i" netns "$sw"; nsenter -t "$sw" -n ip link set "$IF$i" master br0 up
  ip link set "$IF${i}p" netns "$p"; nsenter -t "$p" -n ip link set "$IF${i}p" name eth0
}
kill_node() { # name: at once, with everything that runs on it (mode plain: slurmd only)
  local u c
  if [ "$MODE" = ns ]; then
    # the cable first: a machine that loses power does not close its connections
    nsenter -t "$(cat "$DIR/pids/switch.pid")" -n ip link del "$IF${1#node}" 2>/dev/null || true
    # unshare --fork shuts out SIGTERM; its child is pid 1 of the node, whose end ends all in the node
    u=$(cat "$DIR/pids/$1.pid"); c=$(cat "/proc/$u/task/$u/children" 2>/dev/null || true)
    for c in $c; do kill -KILL "$c" 2>/dev/null || true; done
  fi
  stop_pid "$1" 5
}

start() {
  T0=$(now)
  local needed=(munged munge slurmctld slurmd sbatch) missing=() i
  [ "$ACCT" != 1 ] || needed+=(slurmdbd mariadbd mariadb mariadb-install-db)
  [ "$MODE" != ns ] || needed+=(ip unshare nsenter)
  for i in "${needed[@]}"; do command -v "$i" >/dev/null || missing+=("$i"); done
  [ ${#missing[@]} = 0 ] || { echo "slurmlab: not installed: ${missing[*]}; on Debian: apt-get install" \
    "--no-install-recommends slurm-wlm munge slurmdbd slurm-wlm-mysql-plugin mariadb-server-core" \
    "mariadb-client-core iproute2 util-linux" >&2; exit 1; }
  [ ! -e "$DIR/slurm.conf" ] || { echo "slurmlab: $DIR is in use; stop it first" >&2; exit 1; }
  [ "$MODE" = plain ] || [ "$(id -u)" = 0 ] || { echo "slurmlab: mode ns needs root" >&2; exit 1; }
  mkdir -p "$DIR"; write_conf
  trap 'echo "slurmlab: start failed, stopping" >&2; stop' ERR

  spawn munged munged -F --key-file="$DIR/munge/munge.key" --socket="$DIR/munge/munge.socket" \
    --pid-file="$DIR/munge/munged.pid" --log-file="$DIR/munge/munged.log" --seed-file="$DIR/munge/seed"
  wait_for 5 munged munge -n -S "$DIR/munge/munge.socket"; say "munged"

  if [ "$ACCT" = 1 ]; then
    mkdir -p "$DIR/mysql" "$DIR/mysqltmp"
    local my=(--no-defaults --datadir="$DIR/mysql" --tmpdir="$DIR/mysqltmp" --user="$ME"
      --innodb-log-file-size=8M --innodb-buffer-pool-size=32M --innodb-lock-wait-timeout=900
      --innodb-flush-log-at-trx-commit=0 --skip-log-bin)
    mariadb-install-db "${my[@]}" --skip-test-db --auth-root-authentication-method=normal >"$DIR/log/mysql-install.out" 2>&1
    say "mariadb data directory"
    spawn mariadb mariadbd "${my[@]}" --bind-address=127.0.0.1 --port=$((PORT0-2)) --skip-name-resolve \
      --socket="$DIR/mysql.sock" --pid-file="$DIR/spool/mariadb.pid"
    wait_for 20 mariadb mariadb --no-defaults -S "$DIR/mysql.sock" -u root -e "select 1"
    mariadb --no-defaults -S "$DIR/mysql.sock" -u root -e \
      "create database slurm_acct_db; create user slurm@'127.0.0.1' identified by 'slurm'; grant all on slurm_acct_db.* to slurm@'127.0.0.1';"
    say "mariadb"
  fi

  if [ "$MODE" = ns ]; then
    # the switch lives in a namespace of its own, so no firewall rule of the host (docker's FORWARD DROP) sees it
    spawn switch unshare --net sleep infinity
    local sw; sw=$(cat "$DIR/pids/switch.pid")
    wait_for 5 "switch namespace" test ! "/proc/$sw/ns/net" -ef /proc/self/ns/net
    nsenter -t "$sw" -n ip link add br0 type bridge
    nsenter -t "$sw" -n ip link set br0 up
    ip link add ${IF}0 type veth peer name ${IF}0p
    ip link set ${IF}0p netns "$sw"; nsenter -t "$sw" -n ip link set ${IF}0p master br0 up
    ip addr add "$NET.254/24" dev ${IF}0; ip link set ${IF}0 up
    say "network"
  fi

  if [ "$ACCT" = 1 ]; then
    SLURM_CONF=$DIR/slurm.conf spawn slurmdbd slurmdbd -D
    wait_for 20 slurmdbd bash -c "exec 3<>/dev/tcp/$(ctl_addr)/$((PORT0-1))"
    sacctmgr -i add cluster lab >/dev/null
    sacctmgr -i add account lab cluster=lab >/dev/null
    sacctmgr -i add user "$ME" account=lab >/dev/null
    say "slurmdbd"
  fi

  spawn slurmctld slurmctld -D -f "$SLURM_CONF"
  for ((i=1;i<=NODES;i++)); do start_node "$i"; done
  wait_for 30 "slurmctld" scontrol ping
  wait_for 30 "all nodes idle" bash -c "[ \$(sinfo -h -N -p main -t idle -o %N | sort -u | wc -l) = $NODES ]"
  trap - ERR
  if [ -n "$OWNER" ]; then
    spawn owner bash -c 'while kill -0 "$1" 2>/dev/null; do sleep 1; done; rm -f "$2/pids/owner.pid"; exec bash "$0" stop' \
      "$(readlink -f "$0")" "$OWNER" "$DIR"
  fi
  say "ready: $(sinfo -h -p main -o '%D nodes, %C cpus (A/I/O/T), gres %G, %T')"
}

stop() {
  T0=${T0:-$(now)}
  [ -d "$DIR/pids" ] || { echo "slurmlab: nothing at $DIR"; return 0; }
  if [ -s "$DIR/pids/slurmctld.pid" ] && alive "$(cat "$DIR/pids/slurmctld.pid")"; then
    timeout 5 scancel --full --signal=KILL --state=RUNNING --user="$ME" 2>/dev/null || true
    timeout 5 scancel --user="$ME" 2>/dev/null || true
    wait_for 15 "an empty queue" bash -c '[ -z "$(squeue -h)" ]' || true
  fi
  local f
  stop_pid owner 1
  for f in "$DIR"/pids/node*.pid; do
    [ -e "$f" ] || continue
    kill_node "$(basename "$f" .pid)"
  done
  stop_pid slurmctld 10
  stop_pid slurmdbd 10
  stop_pid mariadb 15
  [ "$MODE" = ns ] && { ip link del ${IF}0 2>/dev/null || true; stop_pid switch 2; }
  stop_pid munged 5
  rm -rf "$DIR.last"; mv "$DIR" "$DIR.last" 2>/dev/null || true
  say "stopped; logs in $DIR.last/log"
}

status() {
  local f p
  for f in "$DIR"/pids/*.pid; do [ -e "$f" ] || continue; p=$(cat "$f")
    alive "$p" && echo "$(basename "$f" .pid) $p up" || echo "$(basename "$f" .pid) $p DOWN"; done
  sinfo -N -l; squeue
}

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  status) status ;;
  crash) kill_node "$2" ;;
  revive) start_node "${2#node}" ;;
  *) sed -n '2,25p' "$0"; exit 2 ;;
esac
