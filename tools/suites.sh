# Sourced by tools/fetch-*: packages of other Debian suites, downloaded and unpacked into a folder.
# Nothing is installed. The mirror is the one this machine's apt is set up for, apt's state stays in
# the folder, and apt verifies the signatures: a suite whose keys are missing is skipped.

# suites_begin FOLDER: sets `folder` and `mirror`, or ends with 77 and the reason.
suites_begin() {
  mkdir -p "$1"
  folder=$(cd "$1" && pwd)
  local tool known
  for tool in apt-get apt-cache dpkg dpkg-deb; do
    command -v "$tool" >/dev/null || { echo "skip: no $tool"; exit 77; }
  done
  # Indexes of Debian itself that this machine already uses: where their repository is.
  known=$(apt-get indextargets --format '$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)' \
    'Created-By: Packages')
  mirror=$(awk -F'|' '$1 == "Debian" && $2 == "main" && $3 !~ /-/ { print $4; exit }' <<<"$known")
  if [ -z "$mirror" ]; then
    echo "skip: apt knows no Debian mirror (apt-get update was not run?)"
    exit 77
  fi
}

# suite_open SUITE: its index; sets `suite`, `state` and `options` (for apt-get and apt-cache).
suite_open() {
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=""
  suite=$1
  state="$folder/apt/$1"
  [ ! -f "$keyring" ] || signed="[signed-by=$keyring] "
  mkdir -p "$state"/{lists/partial,cache/archives/partial,packages}
  : >"$state/status"
  echo "deb $signed$mirror $suite main" >"$state/sources.list"
  options=(-qq -o "Dir::State=$state" -o "Dir::State::lists=$state/lists"
    -o "Dir::State::status=$state/status" -o "Dir::Cache=$state/cache"
    -o "Dir::Etc::sourcelist=$state/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Acquire::Languages=none -o APT::Sandbox::User= -o Debug::NoLocking=1
    -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false)
  if ! apt-get "${options[@]}" -o APT::Update::Error-Mode=any update >"$state/log" 2>&1; then
    if grep -q NO_PUBKEY "$state/log"; then
      echo "$suite: skip: keys are missing ($(grep -om1 'NO_PUBKEY [0-9A-F]*' "$state/log"))"
    else
      echo "$suite: skip: $(tail -n 1 "$state/log")"
    fi
    return 1
  fi
}

# suite_download ACTION PACKAGE...: into $state/packages; `download` these, `install` with all they need.
suite_download() {
  local action=$1
  shift
  rm -f "$state/packages"/*.deb "$state"/cache/archives/*.deb
  if [ "$action" = install ]; then set -- -y --download-only --no-install-recommends "$@"; fi
  if ! (cd "$state/packages" && apt-get "${options[@]}" "$action" "$@") >"$state/log" 2>&1; then
    echo "$suite: skip: $(tail -n 1 "$state/log")"
    return 1
  fi
  [ "$action" != install ] || mv "$state"/cache/archives/*.deb "$state/packages"
}

# suite_unpack: the packages downloaded, into FOLDER/SUITE. Links to / would leave the folder: they
# are made relative.
suite_unpack() {
  local root="$folder/$suite" link target name package
  rm -rf "$root"
  mkdir -p "$root"
  for package in "$state"/packages/*.deb; do dpkg-deb -x "$package" "$root"; done
  for name in lib lib64; do
    [ -e "$root/$name" ] || [ ! -d "$root/usr/$name" ] || ln -s "usr/$name" "$root/$name"
  done
  find "$root" -type l -lname '/*' | while read -r link; do
    target=$(readlink "$link")
    ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$root$target")" "$link"
  done
}
