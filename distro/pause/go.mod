module muster.dev/distro/pause

go 1.26.0
