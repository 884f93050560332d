# Completes raptchat's words in PowerShell; made by `raptchat completion powershell`.
Register-ArgumentCompleter -Native -CommandName raptchat -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
        ForEach-Object {
            if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value }
            else { $_.Extent.Text }
        })
    $program = Get-Command raptchat -CommandType Application -ErrorAction Ignore | Select-Object -First 1
    if (-not $program) { return }
    try {
        $Env:_RAPTCHAT_COMPLETE = 'powershell'
        $Env:_RAPTCHAT_WORD = $wordToComplete.TrimStart("'", '"')
        $answer = @(& $program @words 2>$null)
    } finally {
        Remove-Item Env:_RAPTCHAT_COMPLETE, Env:_RAPTCHAT_WORD -ErrorAction Ignore
    }
    if ($answer[0] -eq 'files') { return }
    $answer | Select-Object -Skip 1 | ForEach-Object {
        $value, $about = $_ -split "`t", 2
        $text = $value
        if ($value -notmatch '^[\w./:~+=-]+$') { $text = "'" + $value.Replace("'", "''") + "'" }
        if (-not $about) { $about = $value }
        [System.Management.Automation.CompletionResult]::new($text, $value, 'ParameterValue', $about)
    }
}
