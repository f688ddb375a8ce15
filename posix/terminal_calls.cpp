// <termios.h>, on ioctl().
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

extern "C" {

int tcgetattr(int fd, termios* out) {
    return ioctl(fd, TIOCGETA, out);
}
int tcsetattr(int fd, int when, const termios* to) {
    switch (when) {
    case TCSANOW:
        return ioctl(fd, TIOCSETA, to);
    case TCSADRAIN:
        return ioctl(fd, TIOCSETAW, to);
    case TCSAFLUSH:
        return ioctl(fd, TIOCSETAF, to);
    default:
        errno = EINVAL;
        return -1;
    }
}
int tcdrain(int fd) {
    return ioctl(fd, TIOCDRAIN, nullptr);
}
int tcflush(int fd, int) {
    termios now;
    return tcgetattr(fd, &now) == 0 ? ioctl(fd, TIOCSETAF, &now) : -1;
}
int tcflow(int fd, int) {
    return isatty(fd) ? 0 : -1;
}
int tcsendbreak(int fd, int) {
    return isatty(fd) ? 0 : -1;
}
speed_t cfgetispeed(const termios* t) {
    return t->c_ispeed;
}
speed_t cfgetospeed(const termios* t) {
    return t->c_ospeed;
}
int cfsetispeed(termios* t, speed_t speed) {
    t->c_ispeed = speed;
    return 0;
}
int cfsetospeed(termios* t, speed_t speed) {
    t->c_ospeed = speed;
    return 0;
}
int cfsetspeed(termios* t, speed_t speed) {
    t->c_ispeed = t->c_ospeed = speed;
    return 0;
}
void cfmakeraw(termios* t) {
    t->c_iflag &= ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    t->c_oflag &= ~static_cast<tcflag_t>(OPOST);
    t->c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    t->c_cflag = (t->c_cflag & ~static_cast<tcflag_t>(CSIZE | PARENB)) | CS8;
    t->c_cc[VMIN] = 1;
    t->c_cc[VTIME] = 0;
}

}  // extern "C"
