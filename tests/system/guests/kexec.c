// A program that starts another kernel: kexec /vmlinuz with /initrd and the command line that it is given.
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
  const char *line = argc > 1 ? argv[1] : "";
  const int kernel = open("/vmlinuz", O_RDONLY), initrd = open("/initrd", O_RDONLY);
  const unsigned long flags = initrd < 0 ? 4 : 0;  // KEXEC_FILE_NO_INITRAMFS
  if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(line) + 1, line, flags) != 0) {
    perror("kexec_file_load");
    return 1;
  }
  syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, 0);
  perror("reboot");
  return 1;
}
