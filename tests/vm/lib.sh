# tests/vm/lib.sh - a small Linux in QEMU that uses a volume.  Source it after
# the kit.
#
# The kernel is Debian's cloud kernel, downloaded once into BUILD/vm and
# unpacked there, never installed.  The rest of the guest is busybox, some
# modules and a few programs of this machine in an initial RAM disk.

VM=$BUILD/vm

requires qemu-system-x86_64 busybox lz4 modprobe depmod mkfs.ext4 e2fsck \
	nbd-client dpkg-deb apt-get xz

vm_kernel_package() {
	apt-cache depends linux-image-cloud-amd64 2> /dev/null |
		sed -n 's/^ *Depends: //p' | head -n 1
}

vm_kernel() {
	local p

	[ -e "$VM/kernel/ready" ] && return
	p=$(vm_kernel_package)
	if [ -z "$p" ]; then
		apt-get -q update > "$W/apt.out" 2>&1
		p=$(vm_kernel_package)
	fi
	[ -n "$p" ] || skip "no package linux-image-cloud-amd64 is known to apt"
	rm -rf "$VM/kernel"
	mkdir -p "$VM/kernel" || exit 1
	(cd "$VM/kernel" && timeout 120 apt-get -q download "$p") \
		> "$W/apt.out" 2>&1 ||
		skip "cannot download $p: $(tail -n 1 "$W/apt.out")"
	must dpkg-deb -x "$VM/kernel"/*.deb "$VM/kernel/tree"
	rm -f "$VM/kernel"/*.deb
	cp "$VM"/kernel/tree/boot/vmlinuz-* "$VM/kernel/vmlinuz" || exit 1
	must depmod -b "$VM/kernel/tree" "$(ls "$VM/kernel/tree/lib/modules")"
	touch "$VM/kernel/ready"
}

# vm_modules ROOT: the modules that the guest wants, in the order to load them.
vm_modules() {
	local root=$1 version m f name

	version=$(ls "$VM/kernel/tree/lib/modules")
	mkdir -p "$root/modules"
	: > "$root/modules/order"
	for m in virtio_pci virtio_blk virtio_net nbd; do
		modprobe -d "$VM/kernel/tree" -S "$version" --show-depends $m \
			2> /dev/null | awk '$1 == "insmod" { print $2 }' |
		while read -r f; do
			name=${f##*/}
			name=${name%.xz}
			[ -e "$root/modules/$name" ] && continue
			case $f in
			*.xz) xz -dc "$f" > "$root/modules/$name" ;;
			*) cp "$f" "$root/modules/$name" ;;
			esac
			echo "$name" >> "$root/modules/order"
		done
	done
}

# vm_program ROOT PROGRAM…: with the libraries that it needs.
vm_program() {
	local root=$1 p l
	shift

	for p; do
		p=$(command -v "$p")
		cp -L "$p" "$root/bin/"
		ldd "$p" | grep -o '/[^ ]*' | while read -r l; do
			mkdir -p "$root${l%/*}"
			cp -L "$l" "$root$l"
		done
	done
}

vm_initrd() {
	local root=$W/initrd

	mkdir -p "$root"/{bin,dev,proc,sys,tmp,mnt,etc,tests,run}
	cp "$(command -v busybox)" "$root/bin/busybox"
	vm_modules "$root"
	vm_program "$root" mkfs.ext4 e2fsck nbd-client
	cp /etc/mke2fs.conf "$root/etc/" 2> /dev/null
	cp tests/vm/guest/init "$root/init"
	chmod 755 "$root/init"
	cp tests/vm/guest/test-* "$root/tests/"
	(cd "$root" && find . | busybox cpio -o -H newc 2> /dev/null) |
		lz4 -l -q -9 > "$W/initrd.lz4" || die "cannot make the initrd"
	rm -rf "$root"
}

# vm_prepare: kernel (one test at a time downloads it) and RAM disk.
vm_prepare() {
	mkdir -p "$VM" || exit 1
	exec 8> "$VM/lock"
	must flock -w 200 8
	vm_kernel
	exec 8>&-
	vm_initrd
}

# vm_start TEST [ARGUMENTS FOR QEMU…]: boot, and run guest/test-TEST in it.
# What it prints goes to $W/vm.log.
vm_start() {
	local test=$1
	shift

	start vm timeout -k 5 170 qemu-system-x86_64 -accel tcg -cpu max \
		-machine q35 -m 512 -smp 1 -nodefaults -no-user-config \
		-display none -serial stdio -no-reboot \
		-kernel "$VM/kernel/vmlinuz" -initrd "$W/initrd.lz4" \
		-append "console=ttyS0 quiet panic=-1 tsc=reliable mitigations=off tarn.test=$test ${VM_APPEND-}" \
		"$@"
}

# vm_said TEXT: has the guest printed it?
vm_said() {
	grep -q "$1" "$W/vm.log"
}

# vm_wait TEXT: until the guest prints it; at once a failure if it ends before.
vm_wait() {
	local i

	for ((i = 0; i < 1600; i++)); do
		vm_said "$1" && return
		alive vm || break
		sleep 0.1
	done
	vm_said "$1" && return
	die "the guest did not say $1"
}

# vm_passed: the guest ended by itself and said that all was well.
vm_passed() {
	vm_wait 'GUEST-DONE'
	gone "${PID[vm]}" 200 || die "the guest does not power off"
	unset "PID[vm]"
	tr -d '\r' < "$W/vm.log" | grep -v '^$' | tail -n 40
	vm_said 'GUEST-PASS' || die "the guest's test failed"
}
