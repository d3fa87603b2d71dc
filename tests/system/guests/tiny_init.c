// An init that needs next to no memory: shows how much there is, and powers off.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void) {
  char text[64];
  mkdir("/proc", 0755);
  mount("proc", "/proc", "proc", 0, 0);
  int file = open("/proc/meminfo", O_RDONLY);
  ssize_t size = read(file, text, sizeof text);
  if (write(1, "memory: ", 8) < 0 || write(1, text, size > 0 ? size : 0) < 0) return 1;
  reboot(RB_POWER_OFF);
  return 1;
}
