#!/bin/sh
# Nightly backup of the database to the second disk.
DAY=`date +%d`
TARGET=/mnt/backup/$DAY
rm -rf $TARGET/*
pg_dump shop > $TARGET/shop.sql
gzip $TARGET/shop.sql
cp -r /var/www/uploads $TARGET
echo "backup done"
