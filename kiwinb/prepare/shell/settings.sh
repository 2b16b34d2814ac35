# shellcheck shell=bash
# Files of settings.

# baseUpdateSysConfig FILE NAME VALUE: set a variable of a file with lines like NAME="value".
baseUpdateSysConfig() {
    local file=${1:?baseUpdateSysConfig needs a file} name=${2:?and a variable} value=${3-}
    local line text='' found='' mark
    if [ ! -f "$file" ]; then
        _kiwinb_say "there is no file $file"
        return
    fi
    for mark in \\ '"' \$ \`; do
        value=${value//"$mark"/\\"$mark"}
    done
    while IFS= read -r line || [ -n "$line" ]; do
        if [[ $line == "$name="* ]]; then
            line="$name=\"$value\""
            found=1
        fi
        text+=$line$'\n'
    done <"$file"
    if [ -z "$found" ]; then
        text+="$name=\"$value\""$'\n'
    fi
    printf %s "$text" >"$file"
}

# baseQuoteFile FILE: make a file of NAME=value lines safe to be read by a shell.
baseQuoteFile() {
    local file=${1:?baseQuoteFile needs a file} line name value text=''
    while IFS= read -r line || [ -n "$line" ]; do
        if [[ $line =~ ^[[:space:]]*(#|$) ]]; then
            continue
        fi
        if [[ $line =~ ^([A-Za-z_][A-Za-z0-9_]*)=(.*)$ ]]; then
            name=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
            if [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]]; then
                value=${BASH_REMATCH[1]}
            fi
            value=$(sed -e 's/\\\(.\)/\1/g' -e "s/'/'\\\\''/g" <<<"$value")
            line="$name='$value'"
        fi
        text+=$line$'\n'
    done <"$file"
    printf %s "$text" >"$file"
}

# baseSetupBuildDay: write the day of the build to /build_day.
baseSetupBuildDay() {
    local when=now
    if [ -n "${SOURCE_DATE_EPOCH-}" ]; then
        when=@$SOURCE_DATE_EPOCH
    fi
    echo "build_day=$(date -u -d "$when" +%Y%m%d)" >/build_day
}

# suseSetupProduct: link /etc/products.d/baseproduct to the product that the system is.
suseSetupProduct() {
    local directory=/etc/products.d product='' file
    if [ ! -d "$directory" ]; then
        return
    fi
    if [ -f /etc/SuSE-brand ]; then
        read -r product </etc/SuSE-brand || true
    elif [ -f /etc/os-release ]; then
        # shellcheck source=/dev/null
        product=$(. /etc/os-release && echo "${NAME-}")
    fi
    for file in "$directory/$product.prod" "$directory/SUSE_$product.prod"; do
        if [ -f "$file" ]; then
            ln -sfn "${file##*/}" "$directory/baseproduct"
            return
        fi
    done
    product=''
    for file in "$directory"/*.prod; do
        if [ -f "$file" ]; then
            product=${file##*/}
        fi
    done
    if [ -n "$product" ]; then
        ln -sfn "$product" "$directory/baseproduct"
    fi
}

# suseImportBuildKey: take the keys that come with rpm into its database.
suseImportBuildKey() {
    local key
    if ! command -v rpm >/dev/null; then
        _kiwinb_say "there is no rpm in the tree"
        return
    fi
    for key in /usr/lib/rpm/gnupg/keys/*.asc; do
        if [ -f "$key" ] && ! rpm -q "$(basename "$key" .asc)" >/dev/null 2>&1; then
            echo "importing $key into the database of rpm"
            rpm --import "$key" || return
        fi
    done
}

# baseVagrantSetup: what Vagrant expects of a box whose description has a user vagrant.
baseVagrantSetup() {
    local key config=/etc/ssh/sshd_config sudoers
    if ! id vagrant >/dev/null 2>&1; then
        _kiwinb_say "there is no user vagrant: add one to <users>"
        return 1
    fi
    # The key is public on both sides, by design: https://github.com/hashicorp/vagrant/tree/main/keys
    key="ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNl"
    key+="tGEFHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8"
    key+="dJSIFo9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnA"
    key+="mCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRd"
    key+="K8jlqm8tehUc9c9WhQ== vagrant insecure public key"
    install -d -m 0700 -o vagrant -g "$(id -gn vagrant)" ~vagrant ~vagrant/.ssh || return
    echo "$key" >~vagrant/.ssh/authorized_keys
    chmod 0600 ~vagrant/.ssh/authorized_keys
    chown "vagrant:$(id -gn vagrant)" ~vagrant/.ssh/authorized_keys
    install -d -m 0755 -o vagrant -g "$(id -gn vagrant)" /vagrant

    # sshd takes the first value that it reads.
    if [ -d /etc/ssh/sshd_config.d ]; then
        printf 'UseDNS no\nGSSAPIAuthentication no\n' >/etc/ssh/sshd_config.d/00-vagrant.conf
    elif [ -f "$config" ]; then
        printf 'UseDNS no\nGSSAPIAuthentication no\n%s\n' "$(cat "$config")" >"$config"
    fi

    sudoers=/etc/sudoers
    if [ -d /etc/sudoers.d ]; then
        sudoers=/etc/sudoers.d/vagrant
    fi
    if ! grep -qs '^vagrant ' "$sudoers"; then
        echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >>"$sudoers"
        chmod 0440 "$sudoers"
    fi
    if command -v visudo >/dev/null; then
        visudo -cqf "$sudoers" || return
    fi

    if [ -n "$(baseSystemdServiceInstalled sshd)" ]; then
        baseInsertService sshd
    else
        baseInsertService ssh
    fi
}
